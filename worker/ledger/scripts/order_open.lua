-- Accepts an order, once. args: id, fields, details, kind, rank, last_safe, channels, suspicion, forget_after
local order = get(args.id)
if order then
  if order.reference ~= args.fields.reference or order.account ~= args.fields.account then
    return reply({result = 'conflict', differs = order.reference ~= args.fields.reference and 'reference' or 'account'})
  end
  retell(args.id, 1)
  retell(args.id, tonumber(order.sequence or 1))
  return reply({result = 'known'})
end
local name = key('order', args.id)
local number, changed_at = generation()
local fresh = args.fields
fresh.state, fresh.accepted_at, fresh.due_at = 'accepted', ts(now), ts(now)
fresh.kind, fresh.rank = args.kind, args.rank
if number > 0 then fresh.generation = tostring(number) end
-- Its first acceptance, and a confirm, may be among what the server forgot.
if changed_at > 0 and now - changed_at < args.suspicion then
  fresh.suspect_at, fresh.kind = ts(changed_at), 'ask'
end
set(name, fresh)
if args.details then redis.call('SET', key('details', args.id), args.details) end
index(args.id, {}, fresh, args.last_safe)
tell(args.id, fresh, 'order.accepted')
local marked = redis.call('DEL', key('withdrawn', args.id)) == 1
if marked and fresh.suspect_at then
  note(args.id, {event = 'withdraw_refused'})
  tell(args.id, hash(name), 'order.updated', 'withdraw_refused')
elseif marked then
  local withdrawn = hash(name)
  withdrawn.state = 'withdrawn'
  redis.call('HSET', name, 'state', 'withdrawn', 'ended_at', ts(now))
  redis.call('HDEL', name, 'due_at')
  redis.call('DEL', key('details', args.id))
  redis.call('ZADD', key('expiring'), ts(now + args.forget_after), args.id)
  index(args.id, fresh, withdrawn)
  note(args.id, {event = 'withdrawn'})
  tell(args.id, withdrawn, 'order.withdrawn')
  return reply({result = 'withdrawn'})
end
place(args.id, lane_of(fresh), now, fresh.kind, args.rank)
return reply({result = 'opened'})
