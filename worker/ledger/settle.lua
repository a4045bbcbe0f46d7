-- What became of a delivery: taken, or to be tried again later; after three days it is a letter of its own.
-- args: channel, id, sequence, delivered, sent, delay, give_up
local box, member = key('outbox', args.channel), args.id .. '|' .. args.sequence
if not redis.call('ZSCORE', box, member) then return reply({result = 'gone'}) end
local text = told(args.id, args.sequence)
local function next_goes()
  local latest = tonumber(redis.call('HGET', key('order', args.id), 'sequence') or 0)
  for following = args.sequence + 1, latest do
    local name = args.id .. '|' .. following
    if redis.call('ZSCORE', box, name) then return redis.call('ZADD', box, ts(now), name) end
  end
end

if args.delivered then
  redis.call('ZREM', box, member)
  redis.call('HDEL', key('outcomes', args.id), args.sequence .. ':' .. args.channel)
  if args.channel == 'task' then redis.call('HDEL', key('outcomes', args.id), args.sequence .. ':sent') end
  redis.call('ZREM', key('letters', 'outcome_undeliverable'), member)
  next_goes()
  return reply({result = 'delivered'})
end
local since = redis.call('HGET', key('outcomes', args.id), args.sequence .. ':since')
if text and now - tonumber(since or cjson.decode(text).at) >= args.give_up then
  redis.call('ZREM', box, member)
  redis.call('ZADD', key('letters', 'outcome_undeliverable'), ts(now), member)
  next_goes()
  return reply({result = 'undeliverable'})
end
if args.sent and redis.call('HSETNX', key('outcomes', args.id), args.sequence .. ':sent', 1) == 1 then next_goes() end
redis.call('ZADD', box, ts(now + args.delay), member)
return reply({result = 'later'})
