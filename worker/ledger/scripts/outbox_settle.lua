-- What became of deliveries: taken, or to be tried again later. After `give_up` seconds one becomes
-- a letter of its own. Each of `deliveries` has id, sequence and delay.
-- args: channel, deliveries, delivered, sent, give_up
-- keys: letters, order, outbox, outcomes
local box = key('outbox', args.channel)

local function next_goes(id, sequence)
  local latest = tonumber(redis.call('HGET', key('order', id), 'sequence') or 0)
  for following = sequence + 1, latest do
    local member = id .. '|' .. following
    if redis.call('ZSCORE', box, member) then return redis.call('ZADD', box, ts(now), member) end
  end
end

local function mark_taken(id, sequence, member)
  local name = key('outcomes', id)
  -- A task's next outcome went when this one was sent: to let it go again would send it twice.
  local next_went = args.channel == 'task' and redis.call('HDEL', name, sequence .. ':sent') == 1
  redis.call('ZREM', box, member)
  redis.call('HDEL', name, sequence .. ':' .. args.channel)
  redis.call('ZREM', key('letters', 'outcome_undeliverable'), member)
  if not next_went then next_goes(id, sequence) end
  return 'delivered'
end

local function given_up(id, sequence)
  local text = told(id, sequence)
  if not text then return false end
  local since = redis.call('HGET', key('outcomes', id), sequence .. ':since')
  return now - tonumber(since or cjson.decode(text).at) >= args.give_up
end

local function settle(id, sequence, delay)
  local member = id .. '|' .. sequence
  if not redis.call('ZSCORE', box, member) then return 'gone' end
  if args.delivered then return mark_taken(id, sequence, member) end
  if given_up(id, sequence) then
    redis.call('ZREM', box, member)
    redis.call('ZADD', key('letters', 'outcome_undeliverable'), ts(now), member)
    next_goes(id, sequence)
    return 'undeliverable'
  end
  local first_copy = args.sent
    and redis.call('HSETNX', key('outcomes', id), sequence .. ':sent', 1) == 1
  if first_copy then next_goes(id, sequence) end
  redis.call('ZADD', box, ts(now + delay), member)
  return 'later'
end

local became = {}
for number, one in ipairs(args.deliveries) do
  became[number] = settle(one.id, one.sequence, one.delay)
end
return reply({result = 'ok', became = became})
