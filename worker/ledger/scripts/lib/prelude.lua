-- What every ledger script begins with. KEYS[1]: the room's base; ARGV[1]: context; ARGV[2]: arguments (both JSON).
-- All keys are built from the base, whose hash tag puts them in one slot. Names are explained in keys.py.
local base = KEYS[1]
local context = cjson.decode(ARGV[1])
local args = cjson.decode(ARGV[2])
local KINDS = {'confirm', 'ask', 'recheck'}
local TOLD = {'account', 'reference', 'state', 'reason', 'attempts', 'inferred', 'details_applied', 'tracking_code',
  'tracking_url', 'lines', 'supplier', 'order_id'}
local MISSING_LIMIT, OUTAGE_LIMIT, LONGEST_RETRY_AFTER = 3, 5, 300
local TIMELINE_LENGTH = 300
local PATIENCE, MANY = 60, 200
local SYNC_AGE = 2
local PAGE = '|page'

local function key(name, first, second)
  local text = base .. name
  if first then text = text .. ':' .. first end
  if second then text = text .. ':' .. second end
  return text
end

-- The one clock of the ledger; a test may override it.
local function clock()
  if context.now then return tonumber(context.now) end
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1000000
end
local now = clock()

local function ts(time) return string.format('%.6f', time) end

local function hash(name)
  local flat, fields = redis.call('HGETALL', name), {}
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  return fields
end

-- All fields in one command: the append-only file keeps the name of the key once.
local function set(name, fields)
  local flat = {}
  for field, value in pairs(fields) do flat[#flat + 1], flat[#flat + 2] = field, value end
  if #flat > 0 then redis.call('HSET', name, unpack(flat)) end
end

local function get(id)
  local order = hash(key('order', id))
  if next(order) == nil then return nil end
  return order
end

local function lane_of(order) return order.account or '-' end

-- A changed run id means that the server restarted: unless every write was synced, its last seconds may be forgotten.
local function look_up_generation()
  local run = context.run
  if not run then
    local info = redis.pcall('INFO', 'server')
    run = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or ''
  end
  local known = redis.call('HMGET', key('server'), 'run_id', 'generation', 'changed_at')
  local number = tonumber(known[2] or 0)
  if known[1] == run then return number, tonumber(known[3] or 0) end
  redis.call('HSET', key('server'), 'run_id', run)
  if not known[1] or context.synced then return number, tonumber(known[3] or 0) end
  redis.call('HSET', key('server'), 'generation', number + 1, 'changed_at', ts(now))
  return number + 1, now
end

local looked_up
local function generation()
  looked_up = looked_up or {look_up_generation()}
  return looked_up[1], looked_up[2]
end

-- An order that was due or claimed when the server restarted may have been sent, by a step that is forgotten.
local function recall(id, order)
  local number, changed_at = generation()
  if tonumber(order.generation or 0) == number then return end
  redis.call('HSET', key('order', id), 'generation', number)
  order.generation = tostring(number)
  local looked = order.lease_until or (order.due_at and tonumber(order.due_at) <= changed_at)
  if looked and (order.state == 'accepted' or order.state == 'submitted') then
    redis.call('HSET', key('order', id), 'suspect_at', ts(changed_at), 'kind', 'ask')
    order.suspect_at, order.kind = ts(changed_at), 'ask'
    local confirms = key('ready', lane_of(order), 'confirm')
    if redis.call('ZREM', confirms, id) == 1 then redis.call('ZADD', key('ready', lane_of(order), 'ask'), order.rank, id) end
  end
end

-- When an order may be looked at that a hint or a person brings forward. Before what brought it forward is surely on disk
-- no confirm may follow from it: a restart could forget both, and find an order that nobody can have looked at.
local function earliest(state)
  local may_confirm = state == 'accepted' or state == 'submitted'
  return (context.synced or not may_confirm) and now or now + SYNC_AGE
end

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

-- Every order that has a next look is in exactly one place: due later, or ready now.
local function place(id, lane, due, kind, rank)
  unplace(id, lane)
  if not due then return end
  if due <= now then
    redis.call('ZADD', key('ready', lane, kind), rank, id)
  else
    redis.call('ZADD', key('due', lane), ts(due), id)
  end
end

-- A probe that came to nothing without an answer must not cost the lane a whole lease.
local function probe_again(id, lane)
  if redis.call('HGET', key('lane', lane), 'probe') == id then
    redis.call('HDEL', key('lane', lane), 'probe')
    redis.call('HSET', key('lane', lane), 'probe_at', ts(now))
  end
end

local function put_back(id, order, due)
  redis.call('HDEL', key('order', id), 'claim', 'lease_until')
  if due then redis.call('HSET', key('order', id), 'due_at', ts(due)) end
  probe_again(id, lane_of(order))
  place(id, lane_of(order), due or now, order.kind, order.rank)
end

-- Moves the order between the indexes of states and letters, and of deadlines while no supplier has accepted it.
local function index(id, before, after, last_safe)
  if before.state ~= after.state then
    if before.state then redis.call('ZREM', key('state', before.state), id) end
    redis.call('ZADD', key('state', after.state), after.accepted_at, id)
  end
  if before.letter ~= after.letter then
    if before.letter then redis.call('ZREM', key('letters', before.letter), id) end
    if after.letter then redis.call('ZADD', key('letters', after.letter), after.letter_at, id) end
  end
  local waiting = after.state == 'accepted' or after.state == 'submitted'
  if waiting and last_safe then
    local warned = redis.call('ZSCORE', key('warned'), id)
    if warned and ts(warned) == ts(last_safe) then return end
    redis.call('ZREM', key('warned'), id)
    redis.call('ZADD', key('deadlines'), ts(last_safe), id)
  elseif not waiting then
    redis.call('ZREM', key('deadlines'), id)
    redis.call('ZREM', key('warned'), id)
  end
end

-- What an outcome says, as it was written. An acceptance says nothing that the record does not: it is not kept twice.
local function told(id, sequence)
  local kept = redis.call('HGET', key('outcomes', id), sequence)
  if kept or tonumber(sequence) ~= 1 then return kept end
  local order = redis.call('HMGET', key('order', id), 'sequence', 'accepted_at', 'reference', 'account')
  if not order[1] then return nil end
  local seen = {state = 'accepted', reference = order[3] or nil, account = order[4] or nil}
  return cjson.encode({type = 'order.accepted', at = order[2], order = seen})
end

local function superseded(id, sequence)
  local kept = redis.call('HGETALL', key('outcomes', id))
  for i = 1, #kept, 2 do
    local number = tonumber(kept[i])
    if number and number < sequence then
      local kind = cjson.decode(kept[i + 1]).type
      if kind == 'order.pending' or kind == 'order.deadline_warning' then
        for _, channel in ipairs(args.channels) do
          redis.call('ZREM', key('outbox', channel), id .. '|' .. number)
        end
      end
    end
  end
end

-- Written in the same step as the state it reports; delivered later, in order, at least once.
local function tell(id, order, kind, reason)
  local sequence = redis.call('HINCRBY', key('order', id), 'sequence', 1)
  order.sequence = tostring(sequence)
  if #args.channels == 0 then return end
  if sequence > 1 then superseded(id, sequence) end
  local seen = {}
  for _, field in ipairs(TOLD) do seen[field] = order[field] end
  if kind ~= 'order.accepted' then
    redis.call('HSET', key('outcomes', id), sequence,
      cjson.encode({type = kind, at = ts(now), reason = reason, order = seen}))
  end
  for _, channel in ipairs(args.channels) do
    redis.call('ZADD', key('outbox', channel), ts(now), id .. '|' .. sequence)
  end
end

-- Out again, with the same id. What was taken before is marked as sent, so that it waits while the web app's queue is
-- long.
local function retell(id, sequence)
  if not told(id, sequence) then return end
  for _, channel in ipairs(args.channels) do
    local again = redis.call('ZADD', key('outbox', channel), ts(now), id .. '|' .. sequence) == 1
    redis.call('HDEL', key('outcomes', id), sequence .. ':' .. channel)
    redis.call('HSET', key('outcomes', id), sequence .. ':since', ts(now))
    if again and channel == 'task' then redis.call('HSET', key('outcomes', id), sequence .. ':sent', 1) end
  end
end

local function calls_left(lane, per_minute)
  redis.call('ZREMRANGEBYSCORE', key('calls', lane), '-inf', ts(now))
  if per_minute == 0 then return 1000000 end
  return per_minute - redis.call('ZCARD', key('calls', lane))
end

local function reply(fields)
  fields.now = ts(now)
  return cjson.encode(fields)
end
