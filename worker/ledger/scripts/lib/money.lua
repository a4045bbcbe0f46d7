-- Part of the prelude: what the account can pay. A currency is guarded from a dead letter for want of money until a look
-- at the accounts finds enough for all who were short. The supplier's own word alone kills; our arithmetic only waits.
local function micro(text) return math.floor(tonumber(text or 0) * 1e6 + 0.5) end

local function at_supplier(order)
  return order.pending_since or order.state == 'confirmed' or order.state == 'cancelled'
end

-- A confirm under way, or without an answer, may be in a balance that is told or not: it counts as spent on top of it.
local function under_way(lane, currency)
  local sum = 0
  for _, id in ipairs(redis.call('ZRANGE', key('state', 'submitted'), 0, MANY - 1)) do
    local amount, of, account = unpack(redis.call('HMGET', key('order', id), 'amount', 'currency', 'account'))
    if amount and of == currency and (account or '-') == lane then sum = sum + micro(amount) end
  end
  return sum
end

local function short_of(lane, order)
  redis.call('HINCRBYFLOAT', key('funds', lane), order.currency .. ':short', order.amount)
end

-- Until the end of the next look that can be made; its settling wakes all who wait for it.
local function wait_for_look(lane, id, order)
  local before = redis.call('HGET', key('lane_call', lane, 'account'), 'at')
  local look_at = math.max(now, tonumber(before or 0) + args.look_every)
  redis.call('HSETNX', key('funds', lane), ':look_by', ts(look_at + args.lease))
  redis.call('HSET', key('lane', lane), 'look_at', ts(look_at))
  redis.call('ZADD', key('unpaid', lane, order.currency), order.rank, id)
  short_of(lane, order)
  return look_at + args.lease
end

-- Money that orders with an earlier deadline wait for is not for a later one: is so much more there? Who must be asked
-- about first may be long in coming, and hides none.
local function overtakes(lane, order, told, left)
  local ahead = redis.call('ZRANGEBYSCORE', key('unpaid', lane, order.currency), '-inf', '(' .. order.rank,
    'LIMIT', 0, MANY)
  for _, id in ipairs(ahead) do
    local amount, kind = unpack(redis.call('HMGET', key('order', id), 'amount', 'kind'))
    if kind == 'confirm' and micro(amount) <= micro(told) then left = left - micro(amount) end
    if left < micro(order.amount) then return true end
  end
  return #ahead == MANY
end

-- May this confirm be paid for? `pay`, `unpayable`, or `waits` and until when. What cannot be told is tried. The
-- probe of a held lane is for all who wait, and yields to none of them.
local function afford(lane, id, order, probing)
  local amount, currency, name = order.amount, order.currency, key('funds', lane)
  if not (args.look_every and amount and currency) or order.send_by then return 'pay' end
  local told, asked_at, spent, short, doubted = unpack(redis.call('HMGET', name, currency, currency .. ':at',
    currency .. ':spent', currency .. ':short', currency .. ':doubted'))
  local unpaid = key('unpaid', lane, currency)
  redis.call('ZREM', unpaid, id)
  -- Who waited has not been judged yet: the money that was found is theirs.
  if not short and redis.call('EXISTS', unpaid) == 0 then return 'pay' end
  asked_at = tonumber(asked_at or 0)
  local fresh = asked_at > now - args.look_every
  local left = told and (fresh or not doubted) and micro(told) - micro(spent) - under_way(lane, currency)
  local covered = left and micro(amount) <= left and (probing or not overtakes(lane, order, told, left))
  local last_chance = args.last_safe and args.last_safe - args.window
  if covered or (last_chance and now >= last_chance) then return 'pay' end
  local failed_at, look_by = unpack(redis.call('HMGET', name, ':failed_at', ':look_by'))
  if fresh and asked_at >= math.max(order.accepted_at, order.requeued_at or 0) then
    if not told then return 'pay' end
    if micro(amount) > micro(told) then return 'unpayable' end
  elseif tonumber(failed_at or 0) > now - args.look_every then
    return 'pay'
  end
  if look_by and tonumber(look_by) <= now then
    -- The look did not come. One order is tried instead, which tells as much.
    redis.call('HDEL', name, ':look_by')
    return 'pay'
  end
  return 'waits', math.min(wait_for_look(lane, id, order), last_chance or math.huge)
end

-- What a step that is written says of the money.
local function account_for(lane, id, before, after)
  local amount, currency, name = after.amount, after.currency, key('funds', lane)
  if not amount or not currency then return end
  if after.state ~= 'accepted' then redis.call('ZREM', key('unpaid', lane, currency), id) end
  if at_supplier(after) and not at_supplier(before) and redis.call('HEXISTS', name, currency) == 1 then
    redis.call('HINCRBYFLOAT', name, currency .. ':spent', amount)
  end
  local poor, was_poor = after.letter == 'insufficient_balance', before.letter == 'insufficient_balance'
  if poor == was_poor then return end
  if poor or after.state == 'accepted' then short_of(lane, after) end
  -- Refused although the look before it said otherwise: that is believed until the next look may be made.
  local asked_at = poor and redis.call('HGET', name, currency .. ':at')
  if asked_at and tonumber(after.last_sent_at or 0) >= tonumber(asked_at) then
    redis.call('HSET', name, currency .. ':doubted', 1)
  end
end

-- They stay in line until they are judged, each by itself.
local function wake_up(lane, currency)
  for _, id in ipairs(redis.call('ZRANGE', key('unpaid', lane, currency), 0, args.wakes - 1)) do
    local order = get(id)
    local due = order and earliest(order.state)
    if order and order.kind == 'confirm' and tonumber(order.due_at) > due then
      redis.call('HSET', key('order', id), 'due_at', ts(due))
      place(id, lane, due, order.kind, order.rank)
    end
  end
end

-- A look leaves now: what was spent by then is in the balances that it brings, and what is spent later is not.
local function mark_spent(lane)
  local name = key('funds', lane)
  for field, amount in pairs(hash(name)) do
    local currency = string.match(field, '^([^:]+):spent$')
    if currency then redis.call('HSET', name, currency .. ':known', amount) end
  end
end

-- The balances that a look asked for at `asked_at`, as decimal strings; none when it failed. Returns what is there.
local function tell_balances(lane, asked_at, balances)
  local name = key('funds', lane)
  local known, there = hash(name), {}
  redis.call('HDEL', name, ':failed_at', ':look_by')
  if not balances then redis.call('HSET', name, ':failed_at', asked_at) end
  for field in pairs(known) do
    local currency, what = string.match(field, '^([^:]+):?(.*)')
    if what == 'short' then wake_up(lane, currency) end
    if balances and currency and not balances[currency] then
      if what == 'short' then redis.call('HSET', name, currency .. ':at', asked_at)
      elseif what ~= 'at' or not known[currency .. ':short'] then redis.call('HDEL', name, field) end
    end
  end
  for currency, amount in pairs(balances or {}) do
    local before, short = known[currency], known[currency .. ':short']
    local spent_by_then = micro(known[currency .. ':known'])
    local spent_since = micro(known[currency .. ':spent']) - spent_by_then
    local rose_at = known[currency .. ':rose_at'] or ts(0)
    if not before or micro(amount) > micro(before) - spent_by_then then rose_at = ts(now) end
    redis.call('HSET', name, currency, amount, currency .. ':at', asked_at, currency .. ':rose_at', rose_at)
    redis.call('HDEL', name, currency .. ':spent', currency .. ':known', currency .. ':doubted')
    if spent_since > 0 then redis.call('HSET', name, currency .. ':spent', string.format('%.6f', spent_since / 1e6)) end
    if short and micro(short) > 0 and micro(amount) >= micro(short) then
      redis.call('HDEL', name, currency .. ':short')
    elseif short then
      redis.call('HSET', name, currency .. ':short', 0)
    end
    local gone = (spent_since + under_way(lane, currency)) / 1e6
    there[currency] = {told = amount, gone = string.format('%.6f', gone), rose_at = rose_at}
  end
  return balances and there
end
