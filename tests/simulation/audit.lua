-- A recount of the whole ledger by one who reads its keys alone: what contradicts the contract, one line each.
-- KEYS: the bases of the rooms; ARGV[1]: now. Independent of the worker's scripts on purpose.
local now, wrong = tonumber(ARGV[1]), {}
local function fault(text) wrong[#wrong + 1] = text end
local function hash(name)
  local flat, fields = redis.call('HGETALL', name), {}
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  return fields
end
local OPEN = {accepted = true, submitted = true, pending = true}
local STATES = {'accepted', 'submitted', 'pending', 'dead', 'confirmed', 'cancelled', 'withdrawn', 'resolved'}
for _, base in ipairs(KEYS) do
  local orders, letters, counts = redis.call('KEYS', base .. 'order:*'), {}, {}
  local lettered = 0
  for _, name in ipairs(orders) do
    local id = string.sub(name, #base + 7)
    local order = hash(name)
    local lane = order.account or '-'
    counts[order.state] = (counts[order.state] or 0) + 1
    if redis.call('ZSCORE', base .. 'state:' .. order.state, id) == false then
      fault(id .. ' is ' .. order.state .. ' and not counted there')
    end
    local due = redis.call('ZSCORE', base .. 'due:' .. lane, id)
    local places, ready = due and 1 or 0, false
    for _, kind in ipairs({'confirm', 'ask', 'recheck'}) do
      if redis.call('ZSCORE', base .. 'ready:' .. lane .. ':' .. kind, id) then
        places, ready = places + 1, true
        if kind ~= order.kind then fault(id .. ' is ready to ' .. kind .. ' and should ' .. (order.kind or 'nothing')) end
      end
    end
    if places > 1 then fault(id .. ' is in ' .. places .. ' places') end
    if OPEN[order.state] and places == 0 then fault(id .. ' is open and neither due nor leased') end
    if OPEN[order.state] and not order.due_at then fault(id .. ' is open without a next look') end
    if not order.due_at and places > 0 then fault(id .. ' is due without a next look') end
    local leased = redis.call('ZSCORE', base .. 'leases:' .. lane, id)
    local reserved = redis.call('ZSCORE', base .. 'reserved:' .. lane, id)
    if order.claim and tonumber(order.lease_until) > now then
      if not leased or not due or ready or tonumber(due) < tonumber(order.lease_until) - 0.001 then
        fault(id .. ' is claimed and not kept by its lease')
      end
    end
    if (reserved and tonumber(reserved) > now or leased and tonumber(leased) > now) and (ready or not due) then
      fault(id .. ' is reserved and ready')
    end
    local unwarned, warned = redis.call('ZSCORE', base .. 'deadlines', id), redis.call('ZSCORE', base .. 'warned', id)
    local waits = unwarned or warned
    if unwarned and warned then fault(id .. ' is both warned of and not') end
    local waiting = order.deadline_at and (order.state == 'accepted' or order.state == 'submitted')
    if waiting and not waits or waits and not waiting then fault(id .. ' is counted wrong among the deadlines') end
    if order.letter then
      lettered = lettered + 1
      if not redis.call('ZSCORE', base .. 'letters:' .. order.letter, id) then fault(id .. ' has no letter') end
    end
    if order.state ~= 'resolved' and (order.state == 'dead') ~= (order.reason ~= nil) then fault(id .. ' is ' .. order.state .. ' with the wrong reason') end
    if order.state == 'submitted' and not order.send_by and not order.suspect_at then
      fault(id .. ' is submitted and nothing of it unresolved')
    end
  end
  for _, state in ipairs(STATES) do
    local counted = redis.call('ZCARD', base .. 'state:' .. state)
    if counted ~= (counts[state] or 0) then
      fault(base .. ' counts ' .. counted .. ' ' .. state .. ' and has ' .. (counts[state] or 0))
    end
  end
  for _, name in ipairs(redis.call('KEYS', base .. 'letters:*')) do
    if not string.find(name, 'outcome_undeliverable', 1, true) then lettered = lettered - redis.call('ZCARD', name) end
  end
  if lettered ~= 0 then fault(base .. ' has letters that no order has') end
end
return wrong
