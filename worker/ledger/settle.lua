-- What became of a delivery: taken, or to be tried again later; after three days it is a letter of its own.
-- args: channel, id, sequence, delivered, delay, give_up
local box, member = key('outbox', args.channel), args.id .. '|' .. args.sequence
if not redis.call('ZSCORE', box, member) then return reply({result = 'gone'}) end
local text = redis.call('HGET', key('outcomes', args.id), args.sequence)
if args.delivered then
  redis.call('ZREM', box, member)
  redis.call('ZREM', key('letters', 'outcome_undeliverable'), member)
  -- The next one need not wait any longer.
  local following = args.id .. '|' .. (args.sequence + 1)
  if redis.call('ZSCORE', box, following) then redis.call('ZADD', box, ts(now), following) end
  return reply({result = 'delivered'})
end
local since = redis.call('HGET', key('outcomes', args.id), args.sequence .. ':since')
if text and now - tonumber(since or cjson.decode(text).at) >= args.give_up then
  redis.call('ZREM', box, member)
  redis.call('ZADD', key('letters', 'outcome_undeliverable'), ts(now), member)
  return reply({result = 'undeliverable'})
end
redis.call('HSET', key('outcomes', args.id), args.sequence .. ':sent', 1)
redis.call('ZADD', box, ts(now + args.delay), member)
return reply({result = 'later'})
