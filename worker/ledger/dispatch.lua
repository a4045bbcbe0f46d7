-- Picks the due orders of one lane that may be looked at now and reserves them; none leaves the sets.
-- args: lane, limit, per_minute, max_in_flight, reserve, kills, retry, promote
local lane, picked = args.lane, {}
local lane_hash = hash(key('lane', lane))
redis.call('ZREMRANGEBYSCORE', key('reserved', lane), '-inf', ts(now))
redis.call('ZREMRANGEBYSCORE', key('leases', lane), '-inf', ts(now))

local function promote(id)
  local waits = redis.call('HMGET', key('order', id), 'kind', 'rank')
  redis.call('ZREM', key('due', lane), id)
  if waits[1] then redis.call('ZADD', key('ready', lane, waits[1]), waits[2], id) end
end

local fallen = redis.call('ZRANGEBYSCORE', key('due', lane), '-inf', ts(now), 'LIMIT', 0, args.promote)
for _, id in ipairs(fallen) do promote(id) end
if #fallen == args.promote then
  -- So many fell due at once that they take several dispatches: the nearest deadlines do not wait among them.
  for _, nearest in ipairs({key('warned'), key('deadlines')}) do
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', nearest, ts(now), '+inf', 'LIMIT', 0, args.limit)) do
      local due = redis.call('ZSCORE', key('due', lane), id)
      if due and tonumber(due) <= now then promote(id) end
    end
  end
end

local function reserve(kind, id)
  redis.call('ZREM', key('ready', lane, kind), id)
  redis.call('ZADD', key('due', lane), ts(now + args.reserve), id)
  redis.call('ZADD', key('reserved', lane), ts(now + args.reserve), id)
  picked[#picked + 1] = id
end

local function head(kind)
  local first = redis.call('ZRANGE', key('ready', lane, kind), 0, 0, 'WITHSCORES')
  return first[1], tonumber(first[2] or 'inf')
end

local busy = redis.call('ZCARD', key('reserved', lane))
local free = math.min(args.limit, args.max_in_flight - busy - redis.call('ZCARD', key('leases', lane)),
  calls_left(lane, args.per_minute) - busy)

-- The deadline waits for neither hold nor budget: these orders die without a call.
if args.kills then
  local over = redis.call('ZRANGEBYSCORE', key('ready', lane, 'confirm'), '-inf', '(' .. ts(now), 'LIMIT', 0, args.limit)
  for _, id in ipairs(over) do reserve('confirm', id) end
end

if lane_hash.held then
  local probe_at = tonumber(lane_hash.probe_at or 'inf')
  local waiting = 0
  for _, kind in ipairs(KINDS) do waiting = waiting + redis.call('ZCARD', key('ready', lane, kind)) end
  if lane_hash.held ~= 'person' and probe_at <= now and waiting > 0 and free > 0 then
    local turn = tonumber(redis.call('HINCRBY', key('lane', lane), 'turn', 1)) % waiting
    for _, kind in ipairs(KINDS) do
      local here = redis.call('ZCARD', key('ready', lane, kind))
      if turn < here then
        local id = redis.call('ZRANGE', key('ready', lane, kind), turn, turn)[1]
        reserve(kind, id)
        redis.call('HSET', key('lane', lane), 'probe', id, 'probe_at', ts(now + args.reserve))
        break
      end
      turn = turn - here
    end
  end
else
  for _ = 1, free do
    local confirm, by = head('confirm')
    local ask, ask_by = head('ask')
    local recheck = head('recheck')
    if not (confirm or ask or recheck) then break end
    local share = recheck and redis.call('HINCRBY', key('lane', lane), 'picks', 1) % 10 == 0
    if recheck and (share or not (confirm or ask)) then
      reserve('recheck', recheck)
    elseif ask_by <= by then
      reserve('ask', ask)
    else
      reserve('confirm', confirm)
    end
  end
end
local soonest = redis.call('ZRANGE', key('due', lane), 0, 0, 'WITHSCORES')
return reply({result = 'ok', picked = picked, soonest = soonest[2]})
