-- Picks the due orders of one lane that may be looked at now, and reserves them; none leaves the
-- sets.
-- args: lane, limit, per_minute, max_in_flight, reserve, has_deadline, tight, promote, accounts,
--   pages
-- keys: calls, deadlines, due, dying, lane, lane_call, leases, order, ready, reserved, warned
local HOUR = 3600
local PAGE_MEMBER = '|page'
local PROBE_PATIENCE = 60
local lane, picked = args.lane, {}
local due = key('due', lane)
local ready = {}
for _, kind in ipairs(KINDS) do ready[kind] = key('ready', lane, kind) end
local lane_hash = hash(key('lane', lane))
redis.call('ZREMRANGEBYSCORE', key('reserved', lane), '-inf', ts(now))
redis.call('ZREMRANGEBYSCORE', key('dying', lane), '-inf', ts(now))
redis.call('ZREMRANGEBYSCORE', key('leases', lane), '-inf', ts(now))

local function first(name, from)
  local found = redis.call('ZRANGEBYSCORE', name, from or '-inf', '+inf', 'WITHSCORES',
    'LIMIT', 0, 1)
  return found[1], tonumber(found[2] or 'inf')
end

-- From due to ready -------------------------------------------------------------------------------

local function promote(ids)
  local ranked = {}
  for _, id in ipairs(ids) do
    local kind, rank = unpack(redis.call('HMGET', key('order', id), 'kind', 'rank'))
    if kind then
      local scores = ranked[kind] or {}
      scores[#scores + 1] = rank
      scores[#scores + 1] = id
      ranked[kind] = scores
    end
  end
  for kind, scores in pairs(ranked) do redis.call('ZADD', ready[kind], unpack(scores)) end
end

-- The orders of one deadline index that fell due, among `args.limit` of them. Orders of other
-- lanes, or that are not due, may be nearer: every second turn goes on behind those of the turn
-- before, among the deadlines of the next hour.
local function nearest_due(name, turn)
  local from = redis.call('ZCOUNT', name, '-inf', '(' .. ts(now))
  if turn % 2 == 0 then
    local soon = redis.call('ZCOUNT', name, ts(now), ts(now + HOUR))
    from = from + turn / 2 * args.limit % math.max(soon, 1)
  end
  local nearest, fell_due = redis.call('ZRANGE', name, from, from + args.limit - 1), {}
  local times = #nearest > 0 and redis.call('ZMSCORE', due, unpack(nearest)) or {}
  for i, id in ipairs(nearest) do
    if times[i] and tonumber(times[i]) <= now then fell_due[#fell_due + 1] = id end
  end
  return fell_due
end

local function promote_due()
  local fallen = redis.call('ZRANGEBYSCORE', due, '-inf', ts(now), 'LIMIT', 0, args.promote)
  if #fallen == 0 then return end
  promote(fallen)
  redis.call('ZREMRANGEBYRANK', due, 0, #fallen - 1)
  if #fallen < args.promote or args.limit == 0 then return end
  -- So many fell due at once that they take several dispatches: the nearest deadlines must not wait
  -- among them.
  local turn = redis.call('HINCRBY', key('lane', lane), 'nearest', 1)
  for _, name in ipairs({key('warned'), key('deadlines')}) do
    local nearest = nearest_due(name, turn)
    if #nearest > 0 then
      promote(nearest)
      redis.call('ZREM', due, unpack(nearest))
    end
  end
end

-- Reservations ------------------------------------------------------------------------------------

local function reserve(kind, id, among)
  local ends = ts(now + args.reserve)
  redis.call('ZREM', ready[kind], id)
  redis.call('ZADD', due, ends, id)
  redis.call('ZADD', among or key('reserved', lane), ends, id)
  picked[#picked + 1] = id
end

-- Orders past their last safe moment die without a call, hold and budget or not. At most `limit` of
-- them are under way, or the doorbells of a mass of them would keep all others waiting.
local function reserve_dying()
  local room = math.max(args.limit - redis.call('ZCARD', key('dying', lane)), 0)
  local over = redis.call('ZRANGEBYSCORE', ready.confirm, '-inf', '(' .. ts(now), 'LIMIT', 0, room)
  for _, id in ipairs(over) do reserve('confirm', id, key('dying', lane)) end
end

-- Pages -------------------------------------------------------------------------------------------

-- A page of the supplier's list is picked like an order and takes a re-check's turn. While pages
-- answer, a re-check waits for one from its rank on. It is asked singly when no page is worth its
-- call (`pages_from` is then ahead), when a page is slow, and when the re-check is long overdue: at
-- once if nothing else wants the budget, else every second turn. A turn that comes before a page
-- may be asked is kept for it, and goes back when no re-check presses.
local pages = {picked = false, usable = false, waits = false, busy = false, asked_at = 0}
local kept_turns = tonumber(lane_hash.page_turns or 0)

local function look_at_pages()
  if not args.pages or lane_hash.pages_off then return end
  local leased = redis.call('ZSCORE', key('leases', lane), PAGE_MEMBER)
  local asked_at = redis.call('HGET', key('lane_call', lane, 'page'), 'at')
  pages.asked_at = tonumber(asked_at or 0)
  pages.busy = leased or redis.call('ZSCORE', key('reserved', lane), PAGE_MEMBER)
  pages.waits = tonumber(lane_hash.paging_until or 0) > now
  local slow = leased and now - pages.asked_at > args.pages.slow
  pages.usable = tonumber(lane_hash.pages_from or 0) <= now and not slow
end

local function page_may_be_asked(pressed)
  local every = pressed and 600 / args.per_minute or args.pages.every
  return not pages.busy and now >= pages.asked_at + every
end

local function no_page_answers()
  if not pages.usable then return true end
  return not pages.waits and redis.call('ZCARD', ready.recheck) < args.pages.enough
end

-- How the first re-check is to be looked at: recheck (singly), page, wait (for a page), or nil (not
-- yet).
local function way_of(rank, pressed, turn)
  if pages.waits and rank > now then return nil end
  if no_page_answers() then return 'recheck' end
  local overdue = now - rank >= args.pages.overdue
  local own_turn = not pressed or turn % 2 == 1
  if overdue and own_turn then return 'recheck' end
  return page_may_be_asked(pressed) and 'page' or 'wait'
end

local function take_turn(kind, id)
  if kind ~= 'page' then return reserve(kind, id) end
  redis.call('ZADD', key('reserved', lane), ts(now + args.reserve), PAGE_MEMBER)
  pages.picked, pages.busy = true, true
end

-- What goes next ----------------------------------------------------------------------------------

-- The kind and id of the earliest deadline that a confirm can still meet. Orders within `tight`
-- seconds of their deadline are skipped first, or under overload every call would just miss.
local function most_urgent()
  local from = args.has_deadline and ts(now + args.tight)
  local confirm, by = first(ready.confirm, from)
  local ask, ask_by = first(ready.ask, from)
  if ask and ask_by <= by then return 'ask', ask, ask end
  if not confirm then confirm = first(ready.confirm, args.has_deadline and ts(now)) end
  return 'confirm', confirm, ask
end

-- The kind and id of what has no deadline to meet: a read whose confirm would come too late, else a
-- re-check or a page.
local function least_urgent(ask, urgent, turn)
  local late = first(ready.ask)
  if late and late ~= ask then return 'ask', late end
  local id, rank = first(ready.recheck)
  return id and way_of(rank, urgent, turn), id
end

-- The next call: deadlines first, but every tenth turn is a re-check's. `wait` means that the turn
-- is kept for a page.
local function next_call()
  local kind, id, ask = most_urgent()
  local picks = tonumber(lane_hash.picks or 0) + 1
  local way, later = least_urgent(ask, id, math.floor(picks / 10))
  if not way or way == 'wait' and not id then return kind, id end
  lane_hash.picks = redis.call('HINCRBY', key('lane', lane), 'picks', 1)
  local enough_kept = way == 'wait' and kept_turns >= args.per_minute / 10
  if id and (picks % 10 ~= 0 or enough_kept) then return kind, id end
  return way, later
end

-- Uses the turns that were kept for a page; returns how many calls are left.
local function use_kept_turns(free)
  while kept_turns > 0 and free > 0 do
    local recheck, rank = first(ready.recheck)
    local way = recheck and way_of(rank, true, kept_turns)
    if way == 'wait' then break end
    kept_turns = kept_turns - 1
    if way then
      take_turn(way, recheck)
      free = free - 1
    end
  end
  return free
end

local function fill(free)
  free = use_kept_turns(free)
  for _ = 1, free - kept_turns do
    local kind, id = next_call()
    if not id then break end
    if kind == 'wait' then kept_turns = kept_turns + 1 else take_turn(kind, id) end
  end
  if kept_turns ~= tonumber(lane_hash.page_turns or 0) then
    redis.call('HSET', key('lane', lane), 'page_turns', kept_turns)
  end
end

-- When the next probe goes out; never while a person holds the lane.
local function probe_at()
  if lane_hash.held == 'person' then return math.huge end
  local at = probe_due_at(lane, lane_hash)
  -- An order is the probe when nobody has looked at the accounts for so long.
  if args.accounts and tested_by_account(lane_hash) then return at + PROBE_PATIENCE end
  return at
end

-- The place of the next probe among all that wait, counted over the kinds: a different order each
-- time. While orders are not found, every second probe is the newest one.
local function probe_place(waiting)
  local turn = tonumber(redis.call('HINCRBY', key('lane', lane), 'turn', 1))
  if lane_hash.held == 'not_found' and turn % 2 == 0 then
    return math.max(redis.call('ZCARD', ready.confirm), 1) - 1
  end
  return turn % waiting
end

local function probe()
  local waiting = waiting_in(lane)
  if waiting == 0 or probe_at() > now then return end
  local place = probe_place(waiting)
  for _, kind in ipairs(KINDS) do
    local here = redis.call('ZCARD', ready[kind])
    if place < here then
      local id = redis.call('ZRANGE', ready[kind], place, place)[1]
      reserve(kind, id)
      redis.call('HSET', key('lane', lane), 'probe', id, 'probe_at', ts(now + args.reserve),
        'probe_from', ts(now + PROBE_IN_HAND))
      return
    end
    place = place - here
  end
end

-- When the dispatcher should look again. Orders that wait for the budget are looked at when the
-- next slot comes free, so that none of it is wasted.
local function look_again_at()
  local _, soonest = first(due)
  if redis.call('EXISTS', ready.confirm, ready.ask, ready.recheck) > 0 then
    local _, free_at = first(key('calls', lane))
    soonest = math.min(soonest, lane_hash.held and probe_at() or free_at)
  end
  return soonest < math.huge and ts(soonest) or nil
end

promote_due()
look_at_pages()
local busy = redis.call('ZCARD', key('reserved', lane)) + kept_for_look(lane_hash)
local in_flight = redis.call('ZCARD', key('leases', lane))
local free = math.min(args.limit, args.max_in_flight - busy - in_flight,
  calls_left(lane, args.per_minute) - busy)
if args.has_deadline then reserve_dying() end
if not lane_hash.held then
  fill(free)
elseif free > 0 then
  probe()
end
return reply({result = 'ok', picked = picked, soonest = look_again_at(), page = pages.picked})
