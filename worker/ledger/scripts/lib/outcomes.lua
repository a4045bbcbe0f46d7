-- Outcomes: written in the same step as the state that they report, delivered later, in order, at
-- least once. `channels` are the ways to the web app.
-- args: none
-- keys: order, outbox, outcomes
local FIELDS_OF_OUTCOME = {'account', 'reference', 'state', 'reason', 'attempts', 'inferred',
  'details_applied', 'tracking_code', 'tracking_url', 'lines', 'supplier', 'order_id'}

-- The outcome as it was written. An acceptance says nothing that the record does not: it is not
-- kept twice.
local function told(id, sequence)
  local kept = redis.call('HGET', key('outcomes', id), sequence)
  if kept or tonumber(sequence) ~= 1 then return kept end
  local order = redis.call('HMGET', key('order', id),
    'sequence', 'accepted_at', 'reference', 'account')
  if not order[1] then return nil end
  local seen = {state = 'accepted', reference = order[3] or nil, account = order[4] or nil}
  return cjson.encode({type = 'order.accepted', at = order[2], order = seen})
end

-- Drops deliveries that a later outcome makes superfluous.
local function superseded(channels, id, sequence)
  local kept = redis.call('HGETALL', key('outcomes', id))
  for i = 1, #kept, 2 do
    local number = tonumber(kept[i])
    if number and number < sequence then
      local kind = cjson.decode(kept[i + 1]).type
      if kind == 'order.pending' or kind == 'order.deadline_warning' then
        for _, channel in ipairs(channels) do
          redis.call('ZREM', key('outbox', channel), id .. '|' .. number)
        end
      end
    end
  end
end

local function tell(channels, id, order, kind, reason)
  local sequence = redis.call('HINCRBY', key('order', id), 'sequence', 1)
  order.sequence = tostring(sequence)
  if #channels == 0 then return end
  if sequence > 1 then superseded(channels, id, sequence) end
  local seen = {}
  for _, field in ipairs(FIELDS_OF_OUTCOME) do seen[field] = order[field] end
  if kind ~= 'order.accepted' then
    redis.call('HSET', key('outcomes', id), sequence,
      cjson.encode({type = kind, at = ts(now), reason = reason, order = seen}))
  end
  for _, channel in ipairs(channels) do
    redis.call('ZADD', key('outbox', channel), ts(now), id .. '|' .. sequence)
  end
end

-- Sends an outcome out again, with the same id. One that was taken before is marked as sent, so
-- that it waits while the web app's queue is long.
local function retell(channels, id, sequence)
  if not told(id, sequence) then return end
  local name = key('outcomes', id)
  for _, channel in ipairs(channels) do
    local member = id .. '|' .. sequence
    local was_taken = redis.call('ZADD', key('outbox', channel), ts(now), member) == 1
    -- An outcome that is still on its way keeps its age and its tries: else a sender's daily repeat
    -- would keep it from ever being given up, and those behind it from going.
    if was_taken then
      redis.call('HDEL', name, sequence .. ':' .. channel)
      redis.call('HSET', name, sequence .. ':since', ts(now))
    end
    if was_taken and channel == 'task' then redis.call('HSET', name, sequence .. ':sent', 1) end
  end
end
