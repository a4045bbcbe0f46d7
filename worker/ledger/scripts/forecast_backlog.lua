-- What a forecast of one lane needs, at one instant; changes no order. Of each kind the `limit`
-- nearest orders are read; ready confirms beyond that are counted by deadline, in `groups` steps.
-- args: lane, limit, groups, rechecks
-- keys: calls, due, dying, lane, order, ready, reserved
local lane = args.lane
local number, changed_at = generation()
local found = {confirms = {}, groups = {}, waiting = {}, rechecks = {}, spent = {}, beyond = 0}
local FIELDS = {'kind', 'rank', 'state', 'send_by', 'suspect_at', 'claim', 'lease_until',
  'generation', 'due_at'}

local function head(name)
  found.beyond = math.max(found.beyond, redis.call('ZCARD', name) - args.limit)
  return redis.call('ZRANGE', name, 0, args.limit - 1, 'WITHSCORES')
end

local function read(id)
  local order, values = {}, redis.call('HMGET', key('order', id), unpack(FIELDS))
  for i, value in ipairs(values) do order[FIELDS[i]] = value or nil end
  return order
end

-- Sees the order as `recall` would: one from before a restart is asked about first.
local function recalled(order)
  if tonumber(order.generation or 0) == number then return end
  if order.lease_until or tonumber(order.due_at) <= changed_at then
    order.kind, order.suspect_at = 'ask', ts(changed_at)
  end
end

-- Adds an order that owes a confirm or a question.
local function owes(id, due)
  local order = read(id)
  if not may_confirm(order.state) then return end
  recalled(order)
  if order.claim and tonumber(order.lease_until) > now then return end
  local rung = redis.call('ZSCORE', key('reserved', lane), id)
    or redis.call('ZSCORE', key('dying', lane), id)
  found.waiting[#found.waiting + 1] = {order.rank, rung and '0' or due, order.kind,
    order.send_by or '0', order.suspect_at or '0'}
end

-- Adds a re-check. They take a tenth of the calls: no more are read than can matter to that.
local function comes_again(id, due)
  if #found.rechecks >= args.rechecks then return end
  local state, snoozes = unpack(redis.call('HMGET', key('order', id), 'state', 'snoozes'))
  found.rechecks[#found.rechecks + 1] = {due, state == 'pending' and (snoozes or '0') or nil}
end

-- Beyond the limit: counts the deadlines in each step between the last that was read and the very
-- last.
local function group(name, from)
  local left = redis.call('ZCARD', name) - args.limit
  if left <= 0 then return end
  local latest = tonumber(redis.call('ZRANGE', name, -1, -1, 'WITHSCORES')[2])
  local width = (latest - from) / args.groups
  local lower = ts(from)
  for step = 1, args.groups do
    local upper = step == args.groups and '+inf' or ts(from + step * width)
    local count = redis.call('ZCOUNT', name, '(' .. lower, upper)
    if count > 0 then found.groups[#found.groups + 1] = {lower, count} end
    left, lower = left - count, upper
  end
  if left > 0 then found.groups[#found.groups + 1] = {ts(from), left} end
end

local function read_confirms()
  local confirms = head(key('ready', lane, 'confirm'))
  for i = 1, #confirms, 2 do
    if number > 0 then
      owes(confirms[i], '0')
    else
      found.confirms[#found.confirms + 1] = confirms[i + 1]
    end
  end
  group(key('ready', lane, 'confirm'), tonumber(confirms[#confirms]))
end

local function read_due()
  local due = head(key('due', lane))
  for i = 1, #due, 2 do
    if redis.call('HGET', key('order', due[i]), 'kind') == 'recheck' then
      comes_again(due[i], due[i + 1])
    else
      owes(due[i], due[i + 1])
    end
  end
end

read_confirms()
local asks = head(key('ready', lane, 'ask'))
for i = 1, #asks, 2 do owes(asks[i], '0') end
for _, id in ipairs(redis.call('ZRANGE', key('ready', lane, 'recheck'), 0, args.rechecks - 1)) do
  comes_again(id, '0')
end
read_due()
local calls = redis.call('ZRANGEBYSCORE', key('calls', lane), '(' .. ts(now), '+inf', 'WITHSCORES')
for i = 2, #calls, 2 do found.spent[#found.spent + 1] = calls[i] end
local held, probe_at, picks = unpack(
  redis.call('HMGET', key('lane', lane), 'held', 'probe_at', 'picks'))
found.held, found.probe_at, found.picks = held or nil, probe_at or nil, picks or nil
return reply(found)
