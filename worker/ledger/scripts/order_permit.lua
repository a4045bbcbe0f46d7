-- The intent: permits one call and spends it from the budget. A confirm is written down before its
-- first byte leaves. `unseen`: permitted together with the claim, before the policy has seen the
-- order. Only a confirm that needs no decision is permitted then: the order waits for one, in time,
-- with nothing to be sent beside it.
-- args: id, claim, kind, per_minute, window, way, last_safe, host, look_every, lease, unseen,
--   has_deadline, hosts, suspect_at
-- keys: calls, lane, order
local order = get(args.id)
local function is_claimed()
  return order and order.claim == args.claim and tonumber(order.lease_until) > now
end

if not is_claimed() then return reply({result = 'stale'}) end
-- The last safe moment and the host; of an unseen confirm they are what the record says.
local function bounds()
  if not args.unseen then return args.last_safe, args.host end
  return args.has_deadline and tonumber(order.rank) or nil, tonumber(order.host or 0)
end

local last_safe, host = bounds()

local function needs_decision()
  local late = last_safe and now > last_safe
  return order.kind ~= 'confirm' or late or order.details
end

if args.unseen and needs_decision() then return reply({result = 'undecided'}) end
local lane = lane_of(order)
local lane_hash = hash(key('lane', lane))
local probing = lane_hash.held ~= nil
local confirm = args.kind == 'confirm'

-- A restart may have made the order suspect behind the claim: the caller has decided without it.
-- A worker of an older version does not say what it has seen.
local function suspected_meanwhile()
  return args.suspect_at and tonumber(order.suspect_at or 0) ~= args.suspect_at
end

local function confirm_refused()
  if suspected_meanwhile() then return 'restarted' end
  if not may_confirm(order.state) then return 'stale' end
  if last_safe and now > last_safe then return 'late' end
  return nil
end

local function refusal()
  if generation() ~= tonumber(order.generation or 0) then return 'restarted' end
  if probing and lane_hash.probe ~= args.id then return 'held' end
  local why = confirm and confirm_refused()
  if why then return why end
  if calls_left(lane, args.per_minute) < 1 then return 'no_budget' end
  if not confirm then return nil end
  local terms = {probing = probing, look_every = args.look_every, lease = args.lease,
    window = args.window, last_safe = last_safe}
  local verdict, due = afford(lane, args.id, order, terms)
  if verdict == 'pay' then return nil end
  return verdict, due
end

local function write_intent(window)
  local name = key('order', args.id)
  -- An order without an unresolved attempt may go to any host; a question stays with its own.
  local may_choose = args.hosts > 1 and not order.send_by
  if may_choose then host = choose_host(lane, host, args.hosts) end
  local before = {state = order.state, letter = order.letter}
  if order.send_by then redis.call('HSET', name, 'older_send_by', order.send_by) end
  if not order.send_by or order.host ~= tostring(host) then
    redis.call('HSET', name, 'host_since', ts(now))
  end
  redis.call('HINCRBY', name, 'attempts', 1)
  redis.call('HINCRBY', name, 'version', 1)
  redis.call('HSET', name, 'state', 'submitted', 'send_by', ts(now + window),
    'last_sent_at', ts(now), 'host', host, 'kind', 'ask')
  order = hash(name)
  index(args.id, before, order)
  note(args.id, {event = 'intent', attempt = tonumber(order.attempts), host = host})
end

local refused, due = refusal()
if refused then
  -- An order that cannot be paid for stays claimed: its step says so.
  if refused ~= 'unpayable' then put_back(args.id, order, due) end
  return reply({result = refused})
end
redis.call('ZADD', key('calls', lane), ts(now + args.window + 60 + args.way), args.claim)
local window = args.window
if confirm and last_safe then window = math.min(window, last_safe - now) end
if confirm then write_intent(window) end
return reply({result = 'permitted', order = order, window = tostring(window),
  passed_at = lane_hash.passed_at, found_at = lane_hash.found_at, probing = probing})
