-- Warns of deadlines that come near, and forgets orders that ended long ago.
-- args: limit, channels, lead, grace, postpone
-- keys: deadlines, details, expiring, letters, order, outbox, outcomes, state, timeline, warned

-- An order that came, or came back, this moment has a chance to be confirmed first.
local function in_grace(order)
  local came_at = math.max(tonumber(order.accepted_at or 0), tonumber(order.requeued_at or 0))
  return now - came_at < args.grace
end

local function warn(id, last_safe)
  local order = get(id) or {}
  if in_grace(order) then return end
  redis.call('ZREM', key('deadlines'), id)
  if not order.state then return end
  redis.call('ZADD', key('warned'), last_safe, id)
  note(id, {event = 'deadline_warning'})
  tell(args.channels, id, order, 'order.deadline_warning')
end

-- True while the web app has not been told everything, or a look or a person is still to come.
local function owed(id, order)
  for sequence = 1, tonumber(order.sequence or 0) do
    local member = id .. '|' .. sequence
    if redis.call('ZSCORE', key('letters', 'outcome_undeliverable'), member) then return true end
    for _, channel in ipairs(args.channels) do
      if redis.call('ZSCORE', key('outbox', channel), member) then return true end
    end
  end
  return order.due_at ~= nil
end

local function forget(id)
  local order = get(id) or {}
  if owed(id, order) then
    redis.call('ZADD', key('expiring'), ts(now + args.postpone), id)
    return
  end
  if order.state then
    redis.call('ZREM', key('state', order.state), id)
    unplace(id, lane_of(order))
  end
  redis.call('ZREM', key('expiring'), id)
  redis.call('DEL', key('order', id), key('timeline', id), key('outcomes', id), key('details', id))
end

-- The server is known before its first order: else a restart that forgot that order would not be
-- seen.
generation()
local near = redis.call('ZRANGEBYSCORE', key('deadlines'), '-inf', ts(now + args.lead),
  'WITHSCORES', 'LIMIT', 0, args.limit)
for i = 1, #near, 2 do warn(near[i], near[i + 1]) end
local forgotten = redis.call('ZRANGEBYSCORE', key('expiring'), '-inf', ts(now),
  'LIMIT', 0, args.limit)
for _, id in ipairs(forgotten) do forget(id) end
return reply({result = 'ok', forgotten = #forgotten})
