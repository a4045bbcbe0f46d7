-- The latest dead letters for want of money, at most `limit`; `beyond` counts the others.
-- args: limit
-- keys: letters, order
local name, found = key('letters', 'insufficient_balance'), {}
for _, id in ipairs(redis.call('ZREVRANGE', name, 0, args.limit - 1)) do
  local account, deadline_at, letter_at, amount, currency = unpack(redis.call('HMGET',
    key('order', id), 'account', 'deadline_at', 'letter_at', 'amount', 'currency'))
  found[#found + 1] = {account = account or nil, deadline_at = deadline_at or nil,
    letter_at = letter_at or nil, amount = amount or nil, currency = currency or nil}
end
return reply({letters = found, beyond = math.max(redis.call('ZCARD', name) - args.limit, 0)})
