-- Picks the due orders of one lane that may be looked at now and reserves them; none leaves the sets.
-- args: lane, limit, per_minute, max_in_flight, reserve, kills, tight, retry, promote, accounts, pages
local lane, picked = args.lane, {}
local HOUR = 3600
local lane_hash = hash(key('lane', lane))
redis.call('ZREMRANGEBYSCORE', key('reserved', lane), '-inf', ts(now))
redis.call('ZREMRANGEBYSCORE', key('dying', lane), '-inf', ts(now))
redis.call('ZREMRANGEBYSCORE', key('leases', lane), '-inf', ts(now))

local function promote(ids)
  local ranked = {}
  for _, id in ipairs(ids) do
    local kind, rank = unpack(redis.call('HMGET', key('order', id), 'kind', 'rank'))
    if kind then
      local ready = ranked[kind] or {}
      ready[#ready + 1], ready[#ready + 2] = rank, id
      ranked[kind] = ready
    end
  end
  for kind, ready in pairs(ranked) do redis.call('ZADD', key('ready', lane, kind), unpack(ready)) end
end

local due = key('due', lane)
local fallen = redis.call('ZRANGEBYSCORE', due, '-inf', ts(now), 'LIMIT', 0, args.promote)
if #fallen > 0 then
  promote(fallen)
  redis.call('ZREMRANGEBYRANK', due, 0, #fallen - 1)
end
if #fallen == args.promote and args.limit > 0 then
  -- So many fell due at once that they take several dispatches: the nearest deadlines do not wait among them. Orders of
  -- other lanes, or that are not due, may be nearer: every second dispatch goes on behind those of the one before, among
  -- the deadlines of the next hour, in which the last of a million has its turn anyway.
  local turn = redis.call('HINCRBY', key('lane', lane), 'nearest', 1)
  for _, name in ipairs({key('warned'), key('deadlines')}) do
    local from = redis.call('ZCOUNT', name, '-inf', '(' .. ts(now))
    local soon = redis.call('ZCOUNT', name, ts(now), ts(now + HOUR))
    if turn % 2 == 0 then from = from + turn / 2 * args.limit % math.max(soon, 1) end
    local nearest, fell_due = redis.call('ZRANGE', name, from, from + args.limit - 1), {}
    local times = #nearest > 0 and redis.call('ZMSCORE', due, unpack(nearest)) or {}
    for i, id in ipairs(nearest) do
      if times[i] and tonumber(times[i]) <= now then fell_due[#fell_due + 1] = id end
    end
    if #fell_due > 0 then
      promote(fell_due)
      redis.call('ZREM', due, unpack(fell_due))
    end
  end
end

local function reserve(kind, id, among)
  redis.call('ZREM', key('ready', lane, kind), id)
  redis.call('ZADD', due, ts(now + args.reserve), id)
  redis.call('ZADD', among or key('reserved', lane), ts(now + args.reserve), id)
  picked[#picked + 1] = id
end

local function first(name, from)
  local found = redis.call('ZRANGEBYSCORE', name, from or '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  return found[1], tonumber(found[2] or 'inf')
end

-- A page of the supplier's list is picked like an order, and takes a re-check's turn. While pages answer, a re-check
-- waits for one from its rank on; it is asked singly when no page is worth its call (then `pages_from` is ahead), when
-- one is slow, and when it is overdue for long: at once if nothing else wants the budget, else every second turn.
-- A turn that comes before a page may be asked is kept for it, and goes back when no re-check presses.
local page, usable, paging, page_busy, page_at = false, false, false, false, 0
local kept_turns = tonumber(lane_hash.page_turns or 0)
if args.pages and not lane_hash.pages_off then
  local asked = redis.call('ZSCORE', key('leases', lane), PAGE)
  page_at = tonumber(redis.call('HGET', key('lane_call', lane, 'page'), 'at') or 0)
  page_busy = asked or redis.call('ZSCORE', key('reserved', lane), PAGE)
  paging = tonumber(lane_hash.paging_until or 0) > now
  usable = tonumber(lane_hash.pages_from or 0) <= now and not (asked and now - page_at > args.pages.slow)
end

-- How the first of the re-checks is to be looked at: recheck (singly), page, wait (for a page), or not yet.
local function way_of(rank, pressed, turn)
  if not paging and not (usable and redis.call('ZCARD', key('ready', lane, 'recheck')) >= args.pages.enough) then
    return 'recheck'
  end
  if paging and rank > now then return nil end
  if not usable then return 'recheck' end
  if now - rank >= args.pages.overdue and (not pressed or turn % 2 == 1) then return 'recheck' end
  local next_page = page_at + (pressed and 600 / args.per_minute or args.pages.every)
  return (page_busy or now < next_page) and 'wait' or 'page'
end

local function take(kind, id)
  if kind ~= 'page' then return reserve(kind, id) end
  redis.call('ZADD', key('reserved', lane), ts(now + args.reserve), PAGE)
  page, page_busy = true, true
end

-- The order that the next call is for, by kind: the earliest deadline that a confirm can still meet. Whoever can hardly
-- meet it any more yields, or in an overload every call would go to one that just misses; a question whose confirm
-- would come too late saves nobody, and goes with the re-checks.
local function next_order()
  local ready = {confirm = key('ready', lane, 'confirm'), ask = key('ready', lane, 'ask')}
  local confirm, by = first(ready.confirm, args.kills and ts(now + args.tight))
  local ask, ask_by = first(ready.ask, args.kills and ts(now + args.tight))
  local kind, id = 'confirm', confirm
  if ask and ask_by <= by then kind, id = 'ask', ask end
  if not id then id = first(ready.confirm, args.kills and ts(now)) end
  local picks, way, rank = tonumber(lane_hash.picks or 0) + 1, 'ask', nil
  local later = first(ready.ask)
  if not later or later == ask then
    later, rank = first(key('ready', lane, 'recheck'))
    way = later and way_of(rank, id, math.floor(picks / 10))
  end
  if not way or way == 'wait' and not id then return kind, id end
  lane_hash.picks = redis.call('HINCRBY', key('lane', lane), 'picks', 1)
  if id and (picks % 10 ~= 0 or way == 'wait' and kept_turns >= args.per_minute / 10) then return kind, id end
  return way, later
end

local busy = redis.call('ZCARD', key('reserved', lane)) + kept_for_look(lane_hash)
local free = math.min(args.limit, args.max_in_flight - busy - redis.call('ZCARD', key('leases', lane)),
  calls_left(lane, args.per_minute) - busy)

-- The deadline waits for neither hold nor budget: these orders die without a call, and take no place from those that
-- need one. So many at a time, or the doorbells of a mass of them would keep all others waiting.
if args.kills then
  local room = math.max(args.limit - redis.call('ZCARD', key('dying', lane)), 0)
  local over = redis.call('ZRANGEBYSCORE', key('ready', lane, 'confirm'), '-inf', '(' .. ts(now), 'LIMIT', 0, room)
  for _, id in ipairs(over) do reserve('confirm', id, key('dying', lane)) end
end

if lane_hash.held then
  local probe_at, waiting = tonumber(lane_hash.probe_at or 'inf'), waiting_in(lane)
  -- An order is the probe all the same when nobody has looked at the accounts for so long.
  if args.accounts and tested_by_account(lane_hash) then probe_at = probe_at + PATIENCE end
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
  while kept_turns > 0 and free > 0 do
    local recheck, rank = first(key('ready', lane, 'recheck'))
    local way = recheck and way_of(rank, true, kept_turns)
    if way == 'wait' then break end
    kept_turns = kept_turns - 1
    if way then
      take(way, recheck)
      free = free - 1
    end
  end
  for _ = 1, free - kept_turns do
    local kind, id = next_order()
    if not id then break end
    if kind == 'wait' then kept_turns = kept_turns + 1 else take(kind, id) end
  end
  if kept_turns ~= tonumber(lane_hash.page_turns or 0) then
    redis.call('HSET', key('lane', lane), 'page_turns', kept_turns)
  end
end
-- What waits for the budget is looked at when the next slot comes free, so that none of it is wasted.
local _, soonest = first(due)
if redis.call('EXISTS', key('ready', lane, 'confirm'), key('ready', lane, 'ask'), key('ready', lane, 'recheck')) > 0 then
  local _, free_at = first(key('calls', lane))
  soonest = math.min(soonest, free_at)
end
return reply({result = 'ok', picked = picked, soonest = soonest < math.huge and ts(soonest) or nil,
  page = page})
