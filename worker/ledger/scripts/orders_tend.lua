-- Warns of deadlines and forgets what ended long ago. args: limit, channels, lead, grace, postpone
-- The server is known before the first order is: else a restart that forgot that order would not be seen as one.
generation()
local near = redis.call('ZRANGEBYSCORE', key('deadlines'), '-inf', ts(now + args.lead), 'WITHSCORES', 'LIMIT', 0, args.limit)
for i = 1, #near, 2 do
  local order = get(near[i]) or {}
  -- One that came, or came back, this moment has a chance to be confirmed first.
  if now - math.max(tonumber(order.accepted_at or 0), tonumber(order.requeued_at or 0)) >= args.grace then
    redis.call('ZREM', key('deadlines'), near[i])
    if order.state then
      redis.call('ZADD', key('warned'), near[i + 1], near[i])
      note(near[i], {event = 'deadline_warning'})
      tell(near[i], order, 'order.deadline_warning')
    end
  end
end
local forgotten = redis.call('ZRANGEBYSCORE', key('expiring'), '-inf', ts(now), 'LIMIT', 0, args.limit)
-- What the web app has not been told yet, or what waits for a person, is kept.
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

for _, id in ipairs(forgotten) do
  local order = get(id) or {}
  if owed(id, order) then
    redis.call('ZADD', key('expiring'), ts(now + args.postpone), id)
    order = nil
  end
  if order then
    if order.state then
      redis.call('ZREM', key('state', order.state), id)
      unplace(id, lane_of(order))
    end
    redis.call('ZREM', key('expiring'), id)
    redis.call('DEL', key('order', id), key('timeline', id), key('outcomes', id), key('details', id))
  end
end
return reply({result = 'ok', forgotten = #forgotten})
