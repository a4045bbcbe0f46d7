-- The intent: permits one call and spends it from the budget; a confirm is written down before its first byte leaves.
-- `unseen`: asked for together with the claim, before anybody has seen the order. Then nothing but a confirm that needs no
-- decision is permitted: the order waits for one, it is not too late, and nothing is to be sent with it.
-- args: id, claim, kind, per_minute, window, way, last_safe, host, look_every, lease, unseen, kills
local order = get(args.id)
if not order or order.claim ~= args.claim or tonumber(order.lease_until) <= now then return reply({result = 'stale'}) end
if args.unseen then
  args.last_safe, args.host = args.kills and tonumber(order.rank) or nil, tonumber(order.host or 0)
  local late = args.last_safe and now > args.last_safe
  if order.kind ~= 'confirm' or late or order.details then return reply({result = 'undecided'}) end
end
local lane = lane_of(order)
local lane_hash = hash(key('lane', lane))
local function refuse(why)
  put_back(args.id, order)
  return reply({result = why})
end
if generation() ~= tonumber(order.generation or 0) then return refuse('restarted') end
if lane_hash.held and lane_hash.probe ~= args.id then return refuse('held') end
local confirm = args.kind == 'confirm'
if confirm and order.state ~= 'accepted' and order.state ~= 'submitted' then return refuse('stale') end
if confirm and args.last_safe and now > args.last_safe then return refuse('late') end
if calls_left(lane, args.per_minute) < 1 then return refuse('no_budget') end
if confirm then
  local verdict, due = afford(lane, args.id, order, lane_hash.held ~= nil)
  if verdict == 'unpayable' then return reply({result = verdict}) end
  if verdict == 'waits' then
    put_back(args.id, order, due)
    return reply({result = verdict})
  end
end
redis.call('ZADD', key('calls', lane), ts(now + args.window + 60 + args.way), args.claim)
local window = args.window
if confirm then
  if args.last_safe then window = math.min(window, args.last_safe - now) end
  local name, before = key('order', args.id), {state = order.state, letter = order.letter}
  if order.send_by then
    redis.call('HSET', name, 'older_send_by', order.send_by)
  end
  if not order.send_by or order.host ~= tostring(args.host) then redis.call('HSET', name, 'host_since', ts(now)) end
  redis.call('HINCRBY', name, 'attempts', 1)
  redis.call('HINCRBY', name, 'version', 1)
  redis.call('HSET', name, 'state', 'submitted', 'send_by', ts(now + window), 'last_sent_at', ts(now), 'host', args.host,
    'kind', 'ask')
  order = hash(name)
  index(args.id, before, order)
  note(args.id, {event = 'intent', attempt = tonumber(order.attempts), host = args.host})
end
return reply({result = 'permitted', order = order, window = tostring(window), passed_at = lane_hash.passed_at,
  found_at = lane_hash.found_at, probing = lane_hash.held ~= nil})
