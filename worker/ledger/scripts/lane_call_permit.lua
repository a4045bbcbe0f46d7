-- Permits one call that is about no order, and spends it like an order's: budget, calls in flight. One of a kind at a
-- time; its lease frees it when the process dies. A held lane permits it as the probe of the cause and for nothing else.
-- The accounts are asked for when somebody wants them: the caller, or an order that waits for a look; a full lane
-- remembers that it refused, as if an order waited.
-- args: lane, kind, token, wanted, every, lease, per_minute, window, way, max_in_flight
local lane, member, name = args.lane, '|' .. args.kind, key('lane_call', args.lane, args.kind)
local latest, lane_hash = hash(name), hash(key('lane', lane))
local function refuse(why) return reply({result = why}) end
if latest.token and tonumber(latest.lease_until) > now then return refuse('busy') end
local probing = lane_hash.held ~= nil
if probing and not (args.kind == 'account' and tested_by_account(lane_hash)
  and tonumber(lane_hash.probe_at or 'inf') <= now and waiting_in(lane) > 0) then
  return refuse('held')
end
if not (probing or args.wanted or look_wanted(lane_hash)) then return refuse('unwanted') end
if not probing and latest.at and now < tonumber(latest.at) + args.every then return refuse('early') end
redis.call('ZREMRANGEBYSCORE', key('leases', lane), '-inf', ts(now))
local full = redis.call('ZCARD', key('leases', lane)) >= args.max_in_flight and 'later'
  or calls_left(lane, args.per_minute) < 1 and 'no_budget'
if full then
  -- A lane whose orders take each slot as it comes free keeps one for it; not the only call of a minute.
  local keeps = args.kind == 'account' and not probing and args.per_minute ~= 1
  if keeps then redis.call('HSET', key('lane', lane), 'look_at', ts(now)) end
  return refuse(full)
end
local ends = ts(now + args.lease)
redis.call('ZADD', key('calls', lane), ts(now + args.window + 60 + args.way), args.token)
redis.call('ZADD', key('leases', lane), ends, member)
redis.call('ZREM', key('reserved', lane), member)
redis.call('HSET', name, 'token', args.token, 'lease_until', ends, 'at', ts(now))
if args.kind == 'account' then
  redis.call('HDEL', key('lane', lane), 'look_at')
  mark_spent(lane)
end
if probing then redis.call('HSET', key('lane', lane), 'probe', member, 'probe_at', ends) end
return reply({result = 'permitted', probing = probing})
