-- Something changed at the supplier: look now, or as soon as a restart cannot forget it. During a call it is remembered
-- until that call's step is written.
-- args: id, reads
local order = get(args.id)
if not order then return reply({result = 'gone'}) end
recall(args.id, order)
local open = order.state == 'accepted' or order.state == 'submitted' or order.state == 'pending'
if not open and not (args.reads and (order.state == 'dead' or order.state == 'cancelled')) then
  return reply({result = 'ended'})
end
if order.claim and tonumber(order.lease_until) > now then
  redis.call('HSET', key('order', args.id), 'hint', 1)
  return reply({result = 'remembered'})
end
local kind = order.kind or 'recheck'
local due = math.min(earliest(order.state), tonumber(order.due_at or 'inf'))
-- A re-check that was asked for does not wait for company on a page.
local rank = kind == 'recheck' and ts(due) or order.rank
redis.call('HSET', key('order', args.id), 'due_at', ts(due), 'kind', kind, 'rank', rank)
redis.call('HINCRBY', key('order', args.id), 'version', 1)
place(args.id, lane_of(order), due, kind, rank)
return reply({result = 'due'})
