-- Restarts of the server. A restart that may have forgotten its last seconds begins a new
-- generation.
-- args: none
-- keys: order, ready, server
local SYNC_AGE = 2

local function run_id()
  if context.run then return context.run end
  local info = redis.pcall('INFO', 'server')
  return type(info) == 'string' and string.match(info, 'run_id:(%w+)') or ''
end

-- A changed run id means a restart. Unless every write was synced, its last seconds may be lost.
local function look_up_generation()
  local run = run_id()
  local known = redis.call('HMGET', key('server'), 'run_id', 'generation', 'changed_at')
  local number = tonumber(known[2] or 0)
  local changed_at = tonumber(known[3] or 0)
  if known[1] == run then return number, changed_at end
  redis.call('HSET', key('server'), 'run_id', run)
  if not known[1] or context.synced then return number, changed_at end
  redis.call('HSET', key('server'), 'generation', number + 1, 'changed_at', ts(now))
  return number + 1, now
end

local looked_up
local function generation()
  looked_up = looked_up or {look_up_generation()}
  return looked_up[1], looked_up[2]
end

-- Marks the order as suspect: it is asked about before anything else.
local function suspect(id, order, since)
  redis.call('HSET', key('order', id), 'suspect_at', ts(since), 'kind', 'ask')
  order.suspect_at = ts(since)
  order.kind = 'ask'
  local lane = lane_of(order)
  if redis.call('ZREM', key('ready', lane, 'confirm'), id) == 1 then
    redis.call('ZADD', key('ready', lane, 'ask'), order.rank, id)
  end
end

-- An order that was due or claimed when the server restarted may have been sent, by a step that is
-- forgotten.
local function recall(id, order)
  local number, changed_at = generation()
  if tonumber(order.generation or 0) == number then return end
  redis.call('HSET', key('order', id), 'generation', number)
  order.generation = tostring(number)
  local was_due = order.due_at and tonumber(order.due_at) <= changed_at
  local was_looked_at = order.lease_until or was_due
  if was_looked_at and may_confirm(order.state) then suspect(id, order, changed_at) end
end

-- The first moment at which a hint or a person may bring an order forward. A confirm must not
-- follow before their word is on disk: a restart could forget both, and the order would look
-- untouched.
local function earliest(state)
  if context.synced or not may_confirm(state) then return now end
  return now + SYNC_AGE
end
