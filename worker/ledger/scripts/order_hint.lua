-- Something changed at the supplier: the order is looked at now, or as soon as a restart cannot
-- forget the hint. During a call the hint is remembered until that call's step is written.
-- args: id, reads
-- keys: order
local order = get(args.id)
if not order then return reply({result = 'gone'}) end
recall(args.id, order)
local function can_be_asked()
  if may_confirm(order.state) or order.state == 'pending' then return true end
  return args.reads and (order.state == 'dead' or order.state == 'cancelled')
end

if not can_be_asked() then return reply({result = 'ended'}) end
if order.claim and tonumber(order.lease_until) > now then
  redis.call('HSET', key('order', args.id), 'hint', 1)
  return reply({result = 'remembered'})
end
local kind = order.kind or 'recheck'
local due = math.min(earliest(order.state), tonumber(order.due_at or 'inf'))
-- A re-check that was asked for does not wait for a page.
local rank = kind == 'recheck' and ts(due) or order.rank
redis.call('HSET', key('order', args.id), 'due_at', ts(due), 'kind', kind, 'rank', rank)
redis.call('HINCRBY', key('order', args.id), 'version', 1)
place(args.id, lane_of(order), due, kind, rank)
return reply({result = 'due'})
