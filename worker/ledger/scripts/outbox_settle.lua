-- What became of deliveries: taken, or to be tried again later; after three days one is a letter of its own.
-- args: channel, deliveries (each with id, sequence, delay), delivered, sent, give_up
local box = key('outbox', args.channel)

local function next_goes(id, sequence)
  local latest = tonumber(redis.call('HGET', key('order', id), 'sequence') or 0)
  for following = sequence + 1, latest do
    local name = id .. '|' .. following
    if redis.call('ZSCORE', box, name) then return redis.call('ZADD', box, ts(now), name) end
  end
end

local function taken(id, sequence, member)
  -- The next one went when this one was sent: to let it go again would send it twice.
  local gone = args.channel == 'task' and redis.call('HDEL', key('outcomes', id), sequence .. ':sent') == 1
  redis.call('ZREM', box, member)
  redis.call('HDEL', key('outcomes', id), sequence .. ':' .. args.channel)
  redis.call('ZREM', key('letters', 'outcome_undeliverable'), member)
  if not gone then next_goes(id, sequence) end
  return 'delivered'
end

local function settle(id, sequence, delay)
  local member = id .. '|' .. sequence
  if not redis.call('ZSCORE', box, member) then return 'gone' end
  if args.delivered then return taken(id, sequence, member) end
  local text, name = told(id, sequence), key('outcomes', id)
  local since = redis.call('HGET', name, sequence .. ':since')
  if text and now - tonumber(since or cjson.decode(text).at) >= args.give_up then
    redis.call('ZREM', box, member)
    redis.call('ZADD', key('letters', 'outcome_undeliverable'), ts(now), member)
    next_goes(id, sequence)
    return 'undeliverable'
  end
  if args.sent and redis.call('HSETNX', name, sequence .. ':sent', 1) == 1 then next_goes(id, sequence) end
  redis.call('ZADD', box, ts(now + delay), member)
  return 'later'
end

local became = {}
for number, one in ipairs(args.deliveries) do became[number] = settle(one.id, one.sequence, one.delay) end
return reply({result = 'ok', became = became})
