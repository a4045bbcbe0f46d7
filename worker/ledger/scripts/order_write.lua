-- Applies one step: record, indexes, next look, timeline, outcomes, lane, all or nothing.
-- args: id, claim | version, untouched, set, unset, due, kind, rank, event, extra, tells, channels, signal, cause, retry_after,
-- retry, call_free_at, last_safe, forget_after, page
local order = get(args.id)
if not order then return reply({result = 'gone'}) end
local name, lane = key('order', args.id), lane_of(order)
local changed, pages_off
if args.claim then
  if args.call_free_at and redis.call('ZSCORE', key('calls', lane), args.claim) then
    redis.call('ZADD', key('calls', lane), ts(args.call_free_at), args.claim)
  end
  if order.applied == args.claim then return reply({result = 'written'}) end
  if args.signal then
    changed = signal(lane, args.id, args.signal, args.cause, args.retry_after)
  else
    probe_again(args.id, lane)
  end
  if args.page then
    pages_off = page_judged(lane, args.page, args.id .. ': a page said ' .. (order.page_says or '?') .. ', a read denies it')
  end
  if order.claim ~= args.claim then return reply({result = 'stale', lane = changed, pages_off = pages_off}) end
  -- The whole record comes from the process that made the call: nothing in it is forgotten, whatever the server lost.
  local number = generation()
  if number > 0 then redis.call('HSET', name, 'generation', number) end
elseif tonumber(order.version or 0) ~= args.version or generation() ~= tonumber(order.generation or 0) then
  return reply({result = 'stale'})
end
if args.untouched then
  -- Only something to say: a call in hand, its lease and the next look stay as they are.
  if args.event then note(args.id, {event = args.event}) end
  for _, told in ipairs(args.tells) do tell(args.id, order, told.type, told.reason) end
  return reply({result = 'written'})
end
set(name, args.set)
redis.call('HDEL', name, 'claim', 'lease_until', 'hint', unpack(args.unset))
redis.call('HINCRBY', name, 'version', 1)
if args.claim then redis.call('HSET', name, 'applied', args.claim) else redis.call('HDEL', name, 'applied') end
local after = hash(name)
local due = args.due and tonumber(args.due)
-- A restart made it suspect while its call was under way, of which the process that made the call knows nothing.
if after.suspect_at and args.kind == 'confirm' then args.kind = 'ask' end
local hintable = after.state ~= 'confirmed' and after.state ~= 'withdrawn' and after.state ~= 'resolved'
if order.hint and hintable then
  due = now
  if args.kind == 'recheck' then args.rank = ts(now) end
end
if due and not args.claim then due = math.max(due, earliest(after.state)) end
if due then
  redis.call('HSET', name, 'due_at', ts(due), 'kind', args.kind, 'rank', args.rank)
else
  redis.call('HDEL', name, 'due_at', 'kind', 'rank')
end
index(args.id, order, after, args.last_safe)
account_for(lane, args.id, order, after)
place(args.id, lane, due, args.kind, args.rank)
local ended = after.state == 'confirmed' or after.state == 'cancelled' or after.state == 'withdrawn'
  or after.state == 'resolved'
if ended then redis.call('DEL', key('details', args.id)) end
if ended and not after.letter then
  redis.call('ZADD', key('expiring'), ts(now + args.forget_after), args.id)
else
  redis.call('ZREM', key('expiring'), args.id)
end
if args.event then
  local entry = args.extra or {}
  entry.event = args.event
  note(args.id, entry)
end
for _, told in ipairs(args.tells) do tell(args.id, after, told.type, told.reason) end
return reply({result = 'written', lane = changed, sequence = after.sequence, pages_off = pages_off})
