-- Applies one step: record, indexes, next look, timeline, outcomes and lane, all or nothing.
-- args: id, claim, version, untouched, set, unset, due, kind, rank, event, extra, tells, channels,
--   hosts, signal, cause, retry_after, retry, call_free_at, last_safe, forget_after, page
-- keys: calls, details, expiring, order
local order = get(args.id)
if not order then return reply({result = 'gone'}) end
local name, lane = key('order', args.id), lane_of(order)
local kind, rank = args.kind, args.rank
local changed, pages_off

local function say_all(about, entry)
  if args.event then
    entry.event = args.event
    note(args.id, entry)
  end
  for _, outcome in ipairs(args.tells) do
    tell(args.channels, args.id, about, outcome.type, outcome.reason)
  end
end

-- What the answer says of the budget, the lane and the page before it, whatever became of the
-- claim.
local function learn_of_lane()
  if args.signal then
    changed = signal(lane, args.id, {what = args.signal, cause = args.cause,
      retry_after = args.retry_after, retry = args.retry, hosts = args.hosts,
      host = tonumber(order.host or 0)})
  else
    probe_again(args.id, lane)
  end
  if args.page then
    local text = args.id .. ': a page said ' .. (order.page_says or '?') .. ', a read denies it'
    pages_off = page_judged(lane, args.page, text)
  end
end

-- Of a step by its version: the record must be the one that the step was decided on.
local function refused_by_version()
  local seen = tonumber(order.version or 0) == args.version
  if seen and generation() == tonumber(order.generation or 0) then return nil end
  return {result = 'stale'}
end

-- Of a step by its claim.
local function refused_by_claim()
  if args.call_free_at and redis.call('ZSCORE', key('calls', lane), args.claim) then
    redis.call('ZADD', key('calls', lane), ts(args.call_free_at), args.claim)
  end
  if order.applied == args.claim then return {result = 'written'} end
  learn_of_lane()
  if order.claim ~= args.claim then
    return {result = 'stale', lane = changed, pages_off = pages_off}
  end
  -- The process that made the call writes the whole record: whatever the server lost is there
  -- again.
  local number = generation()
  if number > 0 then redis.call('HSET', name, 'generation', number) end
  return nil
end

-- When the order is looked at next; a hint during the call makes that now.
local function next_due(after)
  local due = args.due and tonumber(args.due)
  local hintable = after.state ~= 'confirmed' and after.state ~= 'withdrawn'
    and after.state ~= 'resolved'
  if order.hint and hintable then
    due = now
    if kind == 'recheck' then rank = ts(now) end
  end
  if due and not args.claim then due = math.max(due, earliest(after.state)) end
  return due
end

local ENDS = {confirmed = true, cancelled = true, withdrawn = true, resolved = true}

local function plan_to_forget(after)
  local ended = ENDS[after.state]
  if ended then redis.call('DEL', key('details', args.id)) end
  if ended and not after.letter then
    redis.call('ZADD', key('expiring'), ts(now + args.forget_after), args.id)
  else
    redis.call('ZREM', key('expiring'), args.id)
  end
end

local refused
if args.claim then refused = refused_by_claim() else refused = refused_by_version() end
if refused then return reply(refused) end
if args.untouched then
  -- Only something to say: a call in hand, its lease and the next look stay as they are.
  say_all(order, {})
  return reply({result = 'written'})
end
set(name, args.set)
redis.call('HDEL', name, 'claim', 'lease_until', 'hint', unpack(args.unset))
redis.call('HINCRBY', name, 'version', 1)
if args.claim then
  redis.call('HSET', name, 'applied', args.claim)
else
  redis.call('HDEL', name, 'applied')
end
local after = hash(name)
-- A restart during the call made the order suspect; the process that made the call does not know
-- it.
if after.suspect_at and kind == 'confirm' then kind = 'ask' end
local due = next_due(after)
if due then
  redis.call('HSET', name, 'due_at', ts(due), 'kind', kind, 'rank', rank)
else
  redis.call('HDEL', name, 'due_at', 'kind', 'rank')
end
index(args.id, order, after, args.last_safe)
account_for(lane, args.id, order, after)
place(args.id, lane, due, kind, rank)
plan_to_forget(after)
say_all(after, args.extra or {})
return reply({result = 'written', lane = changed, sequence = after.sequence, pages_off = pages_off})
