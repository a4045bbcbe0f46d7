-- Part of the prelude: holds by cause. A person's hold is never touched by an answer.
local function wait_before_probe(lane_hash, retry_after)
  local probes = tonumber(lane_hash.probes or 0)
  local wait = args.retry[math.min(probes + 1, #args.retry)]
  return math.max(wait, math.min(math.max(retry_after or 0, 0), LONGEST_RETRY_AFTER))
end

local function hold(lane, lane_hash, id, cause, retry_after)
  local name = key('lane', lane)
  if lane_hash.held == 'person' then return nil end
  if not lane_hash.held then
    redis.call('HSET', name, 'held', cause, 'held_since', ts(now), 'probes', 0,
      'probe_at', ts(now + wait_before_probe({}, retry_after)))
    redis.call('HDEL', name, 'probe')
    return 'held'
  end
  redis.call('HSET', name, 'held', cause)
  if lane_hash.probe == id then
    lane_hash.probes = redis.call('HINCRBY', name, 'probes', 1)
    redis.call('HDEL', name, 'probe')
    redis.call('HSET', name, 'probe_at', ts(now + wait_before_probe(lane_hash, retry_after)))
  elseif retry_after then
    local at = now + math.min(retry_after, LONGEST_RETRY_AFTER)
    if at > tonumber(lane_hash.probe_at or 0) then redis.call('HSET', name, 'probe_at', ts(at)) end
  end
  return nil
end

local function release(lane, lane_hash)
  if not lane_hash.held or lane_hash.held == 'person' then return nil end
  redis.call('HDEL', key('lane', lane), 'held', 'held_since', 'probes', 'probe_at', 'probe', 'note')
  return 'released'
end

-- How many different orders in a row met the same trouble.
local function streak(lane, field, lane_hash, id)
  local seen = lane_hash[field] or ''
  if not string.find(seen, ' ' .. id .. ' ', 1, true) then seen = seen .. ' ' .. id .. ' ' end
  redis.call('HSET', key('lane', lane), field, seen)
  local _, count = string.gsub(seen, '  ', '  ')
  return count + 1
end

-- What an answer says of its lane; returns held or released when that changed.
local function signal(lane, id, what, cause, retry_after)
  local name = key('lane', lane)
  local lane_hash = hash(name)
  if what == 'blocked' then return hold(lane, lane_hash, id, cause, retry_after) end
  if what == 'failed' then
    if lane_hash.held or streak(lane, 'failing', lane_hash, id) >= OUTAGE_LIMIT then
      return hold(lane, lane_hash, id, lane_hash.held or 'outage')
    end
    return nil
  end
  redis.call('HSET', name, 'passed_at', ts(now))
  redis.call('HDEL', name, 'failing', 'vouched')
  if what == 'not_found' then
    local missing = streak(lane, 'missing', lane_hash, id)
    if lane_hash.held == 'not_found' or missing >= MISSING_LIMIT then
      return hold(lane, lane_hash, id, 'not_found')
    end
  else
    redis.call('HDEL', name, 'missing')
    if what == 'found' then redis.call('HSET', name, 'found_at', ts(now)) end
  end
  return release(lane, lane_hash)
end

local function waiting_in(lane)
  local waiting = 0
  for _, kind in ipairs(KINDS) do waiting = waiting + redis.call('ZCARD', key('ready', lane, kind)) end
  return waiting
end

-- An order waits for a look at the accounts, and it may be made.
local function look_wanted(lane_hash) return lane_hash.look_at and tonumber(lane_hash.look_at) <= now end

-- One call is kept for it, or a busy lane would never look; not for ever, should nobody be there to make it.
local function kept_for_look(lane_hash)
  return look_wanted(lane_hash) and now - tonumber(lane_hash.look_at) < PATIENCE and 1 or 0
end

-- `GET account` tests a key, and spends no order's attempt. It is not believed twice: when orders are blocked again
-- after it got through, they are the probes; and every third probe is an order, lest only that path be closed.
local function tested_by_account(lane_hash)
  local cause = lane_hash.held
  return (cause == 'unauthorized' or cause == 'forbidden') and lane_hash.vouched ~= cause
    and tonumber(lane_hash.probes or 0) % 3 ~= 2
end

-- What a call that is about no order says of its lane. It proves nothing of any order, so neither `passed_at` nor the
-- missing ones move; and what may be wrong with its own path alone holds no lane.
local function lane_signal(lane, member, what, cause, retry_after)
  local name = key('lane', lane)
  local lane_hash = hash(name)
  local held = lane_hash.held
  if what ~= 'passed' then
    local own_path = cause == 'forbidden' or cause == 'misconfigured'
    if what == 'blocked' and own_path and lane_hash.probe ~= member then return nil end
    return signal(lane, member, what, cause, retry_after)
  end
  redis.call('HDEL', name, 'failing')
  local key_is_right = held == 'unauthorized' or held == 'forbidden'
  if not (key_is_right or held == 'rate_limited' or held == 'outage') then return nil end
  if key_is_right then redis.call('HSET', name, 'vouched', held) end
  return release(lane, lane_hash)
end

-- What a single read and a page say of each other. Pages that were contradicted stay off until a person says so;
-- returned is the note when they have just been put off.
local function page_judged(lane, verdict, note)
  local name = key('lane', lane)
  if verdict == 'agreed' then redis.call('HINCRBY', name, 'pages_agreed', 1) end
  if verdict ~= 'contradicted' or redis.call('HEXISTS', name, 'pages_off') == 1 then return nil end
  redis.call('HSET', name, 'pages_off', 'contradicted', 'pages_since', ts(now), 'pages_note', note)
  return note
end
