-- The outcomes of one channel whose time has come, each reserved for `hold` seconds. An outcome
-- waits for the earlier ones of its order: a POST until they were taken, a task until they were
-- sent.
-- args: channel, limit, hold, min_age, first_only
-- keys: outbox, outcomes
local taken, box = {}, key('outbox', args.channel)
-- Tasks of one round leave together, in this order.
local together = {}

local function was_sent(id, sequence)
  if args.channel ~= 'task' then return false end
  if together[id .. '|' .. sequence] then return true end
  return redis.call('HEXISTS', key('outcomes', id), sequence .. ':sent') == 1
end

-- When the first of the earlier outcomes that are still to go is due; nil when none is.
local function waits_until(id, sequence)
  local waits
  for before = tonumber(sequence) - 1, 1, -1 do
    local due = redis.call('ZSCORE', box, id .. '|' .. before)
    if due and not was_sent(id, before) then waits = tonumber(due) end
  end
  return waits
end

-- The time at which the outcome is due again, and its text when it is taken now.
local function look_at(id, sequence, text)
  local waits = waits_until(id, sequence)
  local repeated = args.first_only
    and redis.call('HEXISTS', key('outcomes', id), sequence .. ':sent') == 1
  -- The first copy may still wait in a long queue: a second one would only make it longer.
  if repeated then return now + args.hold end
  if waits then return math.max(waits, now) + 0.1 end
  local age = now - tonumber(cjson.decode(text).at)
  if age < args.min_age then return now + args.min_age - age end
  return now + args.hold, text
end

local function take(id, sequence, text)
  local tries = redis.call('HINCRBY', key('outcomes', id), sequence .. ':' .. args.channel, 1)
  together[id .. '|' .. sequence] = true
  taken[#taken + 1] = {id = id, sequence = sequence, outcome = text, tries = tries}
end

local due_now = redis.call('ZRANGEBYSCORE', box, '-inf', ts(now), 'LIMIT', 0, args.limit)
for _, member in ipairs(due_now) do
  local id, sequence = string.match(member, '^(.*)|(%d+)$')
  local text = told(id, sequence)
  if text then
    local due, goes = look_at(id, sequence, text)
    redis.call('ZADD', box, ts(due), member)
    if goes then take(id, sequence, goes) end
  else
    redis.call('ZREM', box, member)
  end
end
return reply({result = 'ok', taken = taken})
