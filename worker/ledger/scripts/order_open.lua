-- Accepts an order, once.
-- args: id, fields, details, kind, rank, last_safe, channels, suspicion, forget_after
-- keys: details, expiring, order, withdrawn
local function repeated(order)
  local differs = order.reference ~= args.fields.reference and 'reference'
    or order.account ~= args.fields.account and 'account'
  if differs then return {result = 'conflict', differs = differs} end
  retell(args.channels, args.id, 1)
  retell(args.channels, args.id, tonumber(order.sequence or 1))
  return {result = 'known'}
end

-- The withdraw came before its confirm.
local function end_withdrawn(name, fresh)
  local withdrawn = hash(name)
  withdrawn.state = 'withdrawn'
  redis.call('HSET', name, 'state', 'withdrawn', 'ended_at', ts(now))
  redis.call('HDEL', name, 'due_at')
  redis.call('DEL', key('details', args.id))
  redis.call('ZADD', key('expiring'), ts(now + args.forget_after), args.id)
  index(args.id, fresh, withdrawn)
  note(args.id, {event = 'withdrawn'})
  tell(args.channels, args.id, withdrawn, 'order.withdrawn')
  return {result = 'withdrawn'}
end

local order = get(args.id)
if order then return reply(repeated(order)) end
local name = key('order', args.id)
local number, changed_at = generation()
local fresh = copy(args.fields)
fresh.state, fresh.accepted_at, fresh.due_at = 'accepted', ts(now), ts(now)
fresh.kind, fresh.rank = args.kind, args.rank
if number > 0 then fresh.generation = tostring(number) end
-- The server may have forgotten this order's first acceptance, and a confirm.
if changed_at > 0 and now - changed_at < args.suspicion then
  fresh.suspect_at, fresh.kind = ts(changed_at), 'ask'
end
set(name, fresh)
if args.details then redis.call('SET', key('details', args.id), args.details) end
index(args.id, {}, fresh, args.last_safe)
tell(args.channels, args.id, fresh, 'order.accepted')
local marked = redis.call('DEL', key('withdrawn', args.id)) == 1
if marked and not fresh.suspect_at then return reply(end_withdrawn(name, fresh)) end
if marked then
  note(args.id, {event = 'withdraw_refused'})
  tell(args.channels, args.id, hash(name), 'order.updated', 'withdraw_refused')
end
place(args.id, lane_of(fresh), now, fresh.kind, args.rank)
return reply({result = 'opened'})
