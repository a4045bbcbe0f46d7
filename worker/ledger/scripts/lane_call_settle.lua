-- Ends a call that was about no order: its slot of the budget is corrected, its lease ends, the
-- lane learns. Safe to repeat.
-- args: lane, kind, token, signal, cause, retry_after, retry, call_free_at, balances, wakes
-- keys: calls, lane_call, leases
local lane, member = args.lane, '|' .. args.kind
local name = key('lane_call', lane, args.kind)
if args.call_free_at and redis.call('ZSCORE', key('calls', lane), args.token) then
  redis.call('ZADD', key('calls', lane), ts(args.call_free_at), args.token)
end
local latest = hash(name)
if latest.token ~= args.token then return reply({result = 'stale'}) end
redis.call('HDEL', name, 'token', 'lease_until')
redis.call('ZREM', key('leases', lane), member)
local changed, funds
if args.signal then
  changed = lane_signal(lane, member,
    {what = args.signal, cause = args.cause, retry_after = args.retry_after, retry = args.retry,
      hosts = 1})
else
  probe_again(member, lane)
end
if args.kind == 'account' then
  funds = tell_balances(lane, latest.at, args.balances, args.wakes) or nil
end
return reply({result = 'settled', lane = changed, funds = funds})
