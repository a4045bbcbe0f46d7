-- What the account can pay. A refusal for want of money guards its currency until a look at the
-- accounts finds enough for every order that was short. Only the supplier's own word makes a dead
-- letter; our arithmetic makes orders wait. Amounts are compared in millionths.
-- args: none
-- keys: funds, lane, lane_call, order, state, unpaid
local SUBMITTED_AT_MOST = 200
local AHEAD_AT_MOST = 200

local function micro(text) return math.floor(tonumber(text or 0) * 1e6 + 0.5) end

local function decimal(millionths) return string.format('%.6f', millionths / 1e6) end

local function at_supplier(order)
  return order.pending_since or order.state == 'confirmed' or order.state == 'cancelled'
end

-- The money of confirms without an answer. A balance may include it or not: it counts as spent.
local function under_way(lane, currency)
  local sum = 0
  for _, id in ipairs(redis.call('ZRANGE', key('state', 'submitted'), 0, SUBMITTED_AT_MOST - 1)) do
    local amount, of, account =
      unpack(redis.call('HMGET', key('order', id), 'amount', 'currency', 'account'))
    local ours = amount and of == currency and (account or '-') == lane
    if ours then sum = sum + micro(amount) end
  end
  return sum
end

local function short_of(lane, order)
  redis.call('HINCRBYFLOAT', key('funds', lane), order.currency .. ':short', order.amount)
end

-- Makes the order wait until the next look can have ended; settling that look wakes all who wait.
local function wait_for_look(lane, id, order, terms)
  local before = redis.call('HGET', key('lane_call', lane, 'account'), 'at')
  local look_at = math.max(now, tonumber(before or 0) + terms.look_every)
  redis.call('HSETNX', key('funds', lane), ':look_by', ts(look_at + terms.lease))
  redis.call('HSET', key('lane', lane), 'look_at', ts(look_at))
  redis.call('ZADD', key('unpaid', lane, order.currency), order.rank, id)
  short_of(lane, order)
  return look_at + terms.lease
end

-- True when the order would use money that waiting orders with an earlier deadline need. Orders
-- that need a read first reserve none.
local function overtakes(lane, order, told_balance, left)
  local ahead = redis.call('ZRANGEBYSCORE', key('unpaid', lane, order.currency),
    '-inf', '(' .. order.rank, 'LIMIT', 0, AHEAD_AT_MOST)
  for _, id in ipairs(ahead) do
    local amount, kind = unpack(redis.call('HMGET', key('order', id), 'amount', 'kind'))
    local reserves = kind == 'confirm' and micro(amount) <= micro(told_balance)
    if reserves then left = left - micro(amount) end
    if left < micro(order.amount) then return true end
  end
  return #ahead == AHEAD_AT_MOST
end

-- What a look told of one currency: `balance` (a decimal string, nil when it is not known),
-- `asked_at`, `fresh`, `short`, and `left` in millionths (nil when it cannot be relied on).
local function known_balance(lane, currency, look_every)
  local balance, asked_at, spent, short, doubted =
    unpack(redis.call('HMGET', key('funds', lane), currency, currency .. ':at',
      currency .. ':spent', currency .. ':short', currency .. ':doubted'))
  local money = {balance = balance, short = short, asked_at = tonumber(asked_at or 0)}
  money.fresh = money.asked_at > now - look_every
  if balance and (money.fresh or not doubted) then
    money.left = micro(balance) - micro(spent) - under_way(lane, currency)
  end
  return money
end

local function covers(lane, order, money, probing)
  local amount = micro(order.amount)
  if not money.left or amount > money.left then return false end
  return probing or not overtakes(lane, order, money.balance, money.left)
end

-- The verdict of the look itself: `pay`, `unpayable`, or nil when it says nothing of this order.
local function judged_by_look(lane, order, money, look_every)
  local since = math.max(order.accepted_at, order.requeued_at or 0)
  if money.fresh and money.asked_at >= since then
    if not money.balance then return 'pay' end
    return micro(order.amount) > micro(money.balance) and 'unpayable' or nil
  end
  local failed_at = redis.call('HGET', key('funds', lane), ':failed_at')
  return tonumber(failed_at or 0) > now - look_every and 'pay' or nil
end

-- True when the look that orders wait for is overdue. One order is then tried instead, which tells
-- as much.
local function look_did_not_come(lane)
  local look_by = redis.call('HGET', key('funds', lane), ':look_by')
  if not look_by or tonumber(look_by) > now then return false end
  redis.call('HDEL', key('funds', lane), ':look_by')
  return true
end

-- False for an order whose price is not known, or that may be paid for already.
local function is_judged(order, terms)
  return terms.look_every and order.amount and order.currency and not order.send_by
end

-- May this confirm be paid for? `pay`, `unpayable`, or `waits` and until when. What cannot be known
-- is tried. `terms` has `probing` (true for the probe of a held lane, which passes all who wait),
-- `look_every`, `lease`, `window` and `last_safe`.
local function afford(lane, id, order, terms)
  if not is_judged(order, terms) then return 'pay' end
  local unpaid = key('unpaid', lane, order.currency)
  local money = known_balance(lane, order.currency, terms.look_every)
  redis.call('ZREM', unpaid, id)
  -- Orders that still wait have not been judged: the money that was found is theirs.
  if not money.short and redis.call('EXISTS', unpaid) == 0 then return 'pay' end
  local last_chance = terms.last_safe and terms.last_safe - terms.window or math.huge
  if now >= last_chance then return 'pay' end
  if covers(lane, order, money, terms.probing) then return 'pay' end
  local verdict = judged_by_look(lane, order, money, terms.look_every)
  if verdict then return verdict end
  if look_did_not_come(lane) then return 'pay' end
  return 'waits', math.min(wait_for_look(lane, id, order, terms), last_chance)
end

local function spend(lane, currency, amount)
  local name = key('funds', lane)
  if redis.call('HEXISTS', name, currency) == 1 then
    redis.call('HINCRBYFLOAT', name, currency .. ':spent', amount)
  end
end

local function is_poor(order) return order.letter == 'insufficient_balance' end

-- A refusal although the balance seemed enough: the refusal is believed until the next look.
local function doubt(lane, order)
  local name, currency = key('funds', lane), order.currency
  local asked_at = redis.call('HGET', name, currency .. ':at')
  if asked_at and tonumber(order.last_sent_at or 0) >= tonumber(asked_at) then
    redis.call('HSET', name, currency .. ':doubted', 1)
  end
end

-- What a written step says of the money.
local function account_for(lane, id, before, after)
  local amount, currency = after.amount, after.currency
  if not amount or not currency then return end
  if after.state ~= 'accepted' then redis.call('ZREM', key('unpaid', lane, currency), id) end
  if at_supplier(after) and not at_supplier(before) then spend(lane, currency, amount) end
  if is_poor(after) == is_poor(before) then return end
  if is_poor(after) or after.state == 'accepted' then short_of(lane, after) end
  if is_poor(after) then doubt(lane, after) end
end

-- Brings at most `wakes` waiting orders forward. They stay in `unpaid` until each is judged.
local function wake_up(lane, currency, wakes)
  for _, id in ipairs(redis.call('ZRANGE', key('unpaid', lane, currency), 0, wakes - 1)) do
    local order = get(id)
    local due = order and earliest(order.state)
    if order and order.kind == 'confirm' and tonumber(order.due_at) > due then
      redis.call('HSET', key('order', id), 'due_at', ts(due))
      place(id, lane, due, order.kind, order.rank)
    end
  end
end

-- A look leaves now: the balances that it brings include what was spent by now, and nothing later.
local function mark_spent(lane)
  local name = key('funds', lane)
  for field, amount in pairs(hash(name)) do
    local currency = string.match(field, '^([^:]+):spent$')
    if currency then redis.call('HSET', name, currency .. ':known', amount) end
  end
end

-- Forgets a currency that the look did not tell; what was short of it stays known.
local function forget_currency(name, known, currency, field, what, asked_at)
  if what == 'short' then
    redis.call('HSET', name, currency .. ':at', asked_at)
  elseif what ~= 'at' or not known[currency .. ':short'] then
    redis.call('HDEL', name, field)
  end
end

-- Keeps one told balance; returns what is there now.
local function keep_balance(lane, known, currency, amount, asked_at)
  local name = key('funds', lane)
  local before, short = known[currency], known[currency .. ':short']
  local spent_by_then = micro(known[currency .. ':known'])
  local spent_since = micro(known[currency .. ':spent']) - spent_by_then
  local rose = not before or micro(amount) > micro(before) - spent_by_then
  local rose_at = rose and ts(now) or known[currency .. ':rose_at'] or ts(0)
  redis.call('HSET', name, currency, amount, currency .. ':at', asked_at,
    currency .. ':rose_at', rose_at)
  redis.call('HDEL', name, currency .. ':spent', currency .. ':known', currency .. ':doubted')
  if spent_since > 0 then
    redis.call('HSET', name, currency .. ':spent', decimal(spent_since))
  end
  if short and micro(short) > 0 and micro(amount) >= micro(short) then
    redis.call('HDEL', name, currency .. ':short')
  elseif short then
    redis.call('HSET', name, currency .. ':short', 0)
  end
  local gone = decimal(spent_since + under_way(lane, currency))
  return {told = amount, gone = gone, rose_at = rose_at}
end

-- Keeps the balances of a look that was asked for at `asked_at`, as decimal strings by currency;
-- nil when the look failed. Returns what is there.
local function tell_balances(lane, asked_at, balances, wakes)
  local name = key('funds', lane)
  local known, there = hash(name), {}
  redis.call('HDEL', name, ':failed_at', ':look_by')
  if not balances then redis.call('HSET', name, ':failed_at', asked_at) end
  for field in pairs(known) do
    local currency, what = string.match(field, '^([^:]+):?(.*)')
    if what == 'short' then wake_up(lane, currency, wakes) end
    if balances and currency and not balances[currency] then
      forget_currency(name, known, currency, field, what, asked_at)
    end
  end
  for currency, amount in pairs(balances or {}) do
    there[currency] = keep_balance(lane, known, currency, amount, asked_at)
  end
  return balances and there
end
