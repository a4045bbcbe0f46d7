-- The latest dead letters for want of money, at most `limit`. args: limit
local name, found = key('letters', 'insufficient_balance'), {}
for _, id in ipairs(redis.call('ZREVRANGE', name, 0, args.limit - 1)) do
  local order = redis.call('HMGET', key('order', id), 'account', 'deadline_at', 'amount', 'currency')
  found[#found + 1] = {account = order[1] or nil, deadline_at = order[2] or nil, amount = order[3] or nil,
    currency = order[4] or nil}
end
return reply({letters = found, beyond = math.max(redis.call('ZCARD', name) - args.limit, 0)})
