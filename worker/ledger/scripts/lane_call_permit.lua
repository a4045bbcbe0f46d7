-- Permits one call that is about no order, and spends it like an order's: budget, calls in flight.
-- One of a kind is under way at a time; its lease frees it when its process dies. A held lane
-- permits it as the probe of the cause and for nothing else. The accounts are asked for when
-- somebody wants them: the caller, or an order that waits for a look. A full lane remembers that it
-- refused, as if an order waited.
-- args: lane, kind, token, wanted, every, lease, per_minute, window, way, max_in_flight
-- keys: calls, lane, lane_call, leases, reserved
local lane, member = args.lane, '|' .. args.kind
local name = key('lane_call', lane, args.kind)
local latest, lane_hash = hash(name), hash(key('lane', lane))
local is_look = args.kind == 'account'
local probing = lane_hash.held ~= nil

-- True when this call tests what the lane is held for: the accounts a key, a known order the key
-- and the environment.
local function may_probe()
  if args.kind == 'known' then
    local rested = now >= tonumber(latest.at or 0) + args.every
    return lane_hash.held == 'not_found' and lane_hash.known and rested
  end
  if not is_look or not tested_by_account(lane_hash) then return false end
  return probe_due_at(lane, lane_hash) <= now and waiting_in(lane) > 0
end

local function no_room()
  redis.call('ZREMRANGEBYSCORE', key('leases', lane), '-inf', ts(now))
  if redis.call('ZCARD', key('leases', lane)) >= args.max_in_flight then return 'later' end
  if calls_left(lane, args.per_minute) < 1 then return 'no_budget' end
  return nil
end

-- Says why the call is not wanted now; nil when it is.
local function unwanted()
  if probing then return not may_probe() and 'held' or nil end
  if not args.wanted and not look_wanted(lane_hash) then return 'unwanted' end
  if latest.at and now < tonumber(latest.at) + args.every then return 'early' end
  return nil
end

local function refusal()
  if latest.token and tonumber(latest.lease_until) > now then return 'busy' end
  local why = unwanted()
  if why then return why end
  local full = no_room()
  -- A lane whose orders take each slot as it comes free reserves one; not the only call of a
  -- minute.
  local reserves = full and is_look and not probing
  if reserves and args.per_minute ~= 1 then
    redis.call('HSET', key('lane', lane), 'look_at', ts(now))
  end
  return full
end

local refused = refusal()
if refused then return reply({result = refused}) end
local ends = ts(now + args.lease)
redis.call('ZADD', key('calls', lane), ts(now + args.window + 60 + args.way), args.token)
redis.call('ZADD', key('leases', lane), ends, member)
redis.call('ZREM', key('reserved', lane), member)
redis.call('HSET', name, 'token', args.token, 'lease_until', ends, 'at', ts(now))
if is_look then
  redis.call('HDEL', key('lane', lane), 'look_at')
  mark_spent(lane)
end
if probing and is_look then
  redis.call('HSET', key('lane', lane), 'probe', member, 'probe_at', ends,
    'probe_from', ts(now + PROBE_IN_HAND))
end
return reply({result = 'permitted', probing = probing})
