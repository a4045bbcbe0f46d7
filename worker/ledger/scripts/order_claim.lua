-- Takes the lease of a due order, with a new fencing number. The token makes a claim that a restarted server forgot
-- differ from a later one with the same number. args: id, claim, lease, direct, per_minute, max_in_flight, kills
local order = get(args.id)
if not order then return reply({result = 'gone'}) end
recall(args.id, order)
local lane = lane_of(order)
local lane_hash = hash(key('lane', lane))
if order.claim and tonumber(order.lease_until) > now then return reply({result = 'busy'}) end
if not order.due_at or tonumber(order.due_at) > now then return reply({result = 'not_due'}) end
local dying = args.kills and order.kind == 'confirm' and tonumber(order.rank) < now
if lane_hash.held and lane_hash.probe ~= args.id and not dying then return reply({result = 'held'}) end
redis.call('ZREMRANGEBYSCORE', key('leases', lane), '-inf', ts(now))
local free = args.max_in_flight - redis.call('ZCARD', key('leases', lane))
if not dying and free < 1 then return reply({result = 'later'}) end
if args.direct then
  if order.fence then return reply({result = 'later'}) end
  -- Room for all that wait, this one among them: then it does not matter who goes first.
  local wanted = redis.call('ZCARD', key('ready', lane, 'confirm')) + redis.call('ZCARD', key('ready', lane, 'ask'))
    + redis.call('ZCARD', key('reserved', lane)) + kept_for_look(lane_hash)
  if wanted > free or wanted > calls_left(lane, args.per_minute) then return reply({result = 'later'}) end
end
local ends = now + args.lease
local name = key('order', args.id)
order.fence = tostring(redis.call('HINCRBY', name, 'fence', 1))
order.version = tostring(redis.call('HINCRBY', name, 'version', 1))
redis.call('HSET', name, 'claim', args.claim, 'lease_until', ts(ends))
unplace(args.id, lane)
redis.call('ZADD', key('due', lane), ts(ends), args.id)
redis.call('ZADD', key('leases', lane), ts(ends), args.id)
if lane_hash.probe == args.id then redis.call('HSET', key('lane', lane), 'probe_at', ts(ends)) end
return reply({result = 'claimed', order = order})
