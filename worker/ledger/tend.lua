-- Warns of deadlines and forgets what ended long ago. args: limit, channels
for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('warnings'), '-inf', ts(now), 'LIMIT', 0, args.limit)) do
  redis.call('ZREM', key('warnings'), id)
  local order = get(id)
  if order and (order.state == 'accepted' or order.state == 'submitted') then
    note(id, {event = 'deadline_warning'})
    tell(id, order, 'order.deadline_warning')
  end
end
local forgotten = redis.call('ZRANGEBYSCORE', key('expiring'), '-inf', ts(now), 'LIMIT', 0, args.limit)
for _, id in ipairs(forgotten) do
  local order = get(id) or {}
  if order.state then
    redis.call('ZREM', key('state', order.state), id)
    unplace(id, lane_of(order))
  end
  redis.call('ZREM', key('expiring'), id)
  redis.call('DEL', key('order', id), key('timeline', id), key('outcomes', id), key('details', id))
  for _, channel in ipairs(args.channels) do
    for sequence = 1, tonumber(order.sequence or 0) do redis.call('ZREM', key('outbox', channel), id .. '|' .. sequence) end
  end
end
return reply({result = 'ok', forgotten = #forgotten})
