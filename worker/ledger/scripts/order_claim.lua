-- Takes the lease of a due order, with a new fencing number. The token tells this claim from a
-- later one with the same number, should a restarted server forget it.
-- args: id, claim, lease, direct, per_minute, max_in_flight, has_deadline
-- keys: due, lane, leases, order, ready, reserved
local order = get(args.id)
if not order then return reply({result = 'gone'}) end
recall(args.id, order)
local lane = lane_of(order)
local lane_hash = hash(key('lane', lane))

-- With room for all that wait, this order among them, it does not matter which goes first.
local function room_for_all(free)
  local wanted = redis.call('ZCARD', key('ready', lane, 'confirm'))
    + redis.call('ZCARD', key('ready', lane, 'ask'))
    + redis.call('ZCARD', key('reserved', lane))
    + kept_for_look(lane_hash)
  return wanted <= free and wanted <= calls_left(lane, args.per_minute)
end

-- True for an order past its last safe moment: it needs a step but no call.
local function is_dying()
  return args.has_deadline and order.kind == 'confirm' and tonumber(order.rank) < now
end

local function refused_by_lane()
  if lane_hash.held and lane_hash.probe ~= args.id and not is_dying() then return 'held' end
  redis.call('ZREMRANGEBYSCORE', key('leases', lane), '-inf', ts(now))
  local free = args.max_in_flight - redis.call('ZCARD', key('leases', lane))
  if free < 1 and not is_dying() then return 'later' end
  if args.direct and (order.fence or not room_for_all(free)) then return 'later' end
  return nil
end

local function refusal()
  if order.claim and tonumber(order.lease_until) > now then return 'busy' end
  if not order.due_at or tonumber(order.due_at) > now then return 'not_due' end
  return refused_by_lane()
end

local refused = refusal()
if refused then return reply({result = refused}) end
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
