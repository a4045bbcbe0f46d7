-- Where an order stands: the sets of its next look, its state, its letter and its deadline.
-- args: none
-- keys: deadlines, due, dying, leases, letters, order, ready, reserved, state, timeline, warned
local TIMELINE_LENGTH = 300

local function note(id, entry)
  entry.at = ts(now)
  redis.call('RPUSH', key('timeline', id), cjson.encode(entry))
  redis.call('LTRIM', key('timeline', id), -TIMELINE_LENGTH, -1)
end

local function unplace(id, lane)
  for _, kind in ipairs(KINDS) do redis.call('ZREM', key('ready', lane, kind), id) end
  redis.call('ZREM', key('due', lane), id)
  redis.call('ZREM', key('reserved', lane), id)
  redis.call('ZREM', key('dying', lane), id)
  redis.call('ZREM', key('leases', lane), id)
end

-- Every order that has a next look stands in exactly one place: due later, or ready now.
local function place(id, lane, due, kind, rank)
  unplace(id, lane)
  if not due then return end
  if due <= now then
    redis.call('ZADD', key('ready', lane, kind), rank, id)
  else
    redis.call('ZADD', key('due', lane), ts(due), id)
  end
end

-- Ends a claim without a call: the order is due now, or at `due`.
local function put_back(id, order, due)
  redis.call('HDEL', key('order', id), 'claim', 'lease_until')
  if due then redis.call('HSET', key('order', id), 'due_at', ts(due)) end
  probe_again(id, lane_of(order))
  place(id, lane_of(order), due or now, order.kind, order.rank)
end

local function index_state(id, before, after)
  if before.state == after.state then return end
  if before.state then redis.call('ZREM', key('state', before.state), id) end
  redis.call('ZADD', key('state', after.state), after.accepted_at, id)
end

local function index_letter(id, before, after)
  if before.letter == after.letter then return end
  if before.letter then redis.call('ZREM', key('letters', before.letter), id) end
  if after.letter then redis.call('ZADD', key('letters', after.letter), after.letter_at, id) end
end

-- Deadlines are kept while no supplier has accepted the order.
local function index_deadline(id, after, last_safe)
  if not may_confirm(after.state) then
    redis.call('ZREM', key('deadlines'), id)
    redis.call('ZREM', key('warned'), id)
  elseif last_safe then
    local warned = redis.call('ZSCORE', key('warned'), id)
    if warned and ts(warned) == ts(last_safe) then return end
    redis.call('ZREM', key('warned'), id)
    redis.call('ZADD', key('deadlines'), ts(last_safe), id)
  end
end

-- Moves the order between the indexes of states, letters and deadlines.
local function index(id, before, after, last_safe)
  index_state(id, before, after)
  index_letter(id, before, after)
  index_deadline(id, after, last_safe)
end
