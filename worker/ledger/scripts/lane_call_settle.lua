-- What came of a lane call: its slot of the budget is corrected, its lease ends, the lane learns. Safe to repeat.
-- args: lane, kind, token, signal, cause, retry_after, retry, call_free_at, balances, wakes
local lane, member, name = args.lane, '|' .. args.kind, key('lane_call', args.lane, args.kind)
if args.call_free_at and redis.call('ZSCORE', key('calls', lane), args.token) then
  redis.call('ZADD', key('calls', lane), ts(args.call_free_at), args.token)
end
local latest = hash(name)
if latest.token ~= args.token then return reply({result = 'stale'}) end
redis.call('HDEL', name, 'token', 'lease_until')
redis.call('ZREM', key('leases', lane), member)
local changed
if args.signal then
  changed = lane_signal(lane, member, args.signal, args.cause, args.retry_after)
else
  probe_again(member, lane)
end
local funds = args.kind == 'account' and tell_balances(lane, latest.at, args.balances) or nil
return reply({result = 'settled', lane = changed, funds = funds})
