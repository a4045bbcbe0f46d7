-- A lane's budget, holds and looks. No answer touches a person's hold.
-- args: none
-- keys: calls, lane, ready
local MISSING_LIMIT = 3
local OUTAGE_LIMIT = 5
local LONGEST_RETRY_AFTER = 300
local LOOK_PATIENCE = 60
local UNLIMITED = 1000000

local function calls_left(lane, per_minute)
  redis.call('ZREMRANGEBYSCORE', key('calls', lane), '-inf', ts(now))
  if per_minute == 0 then return UNLIMITED end
  return per_minute - redis.call('ZCARD', key('calls', lane))
end

-- A probe that ended without an answer must not cost the lane a whole lease.
local function probe_again(id, lane)
  if redis.call('HGET', key('lane', lane), 'probe') == id then
    redis.call('HDEL', key('lane', lane), 'probe')
    redis.call('HSET', key('lane', lane), 'probe_at', ts(now))
  end
end

local function wait_before_probe(lane_hash, word)
  local probes = tonumber(lane_hash.probes or 0)
  local wait = word.retry[math.min(probes + 1, #word.retry)]
  local asked = math.max(word.retry_after or 0, 0)
  return math.max(wait, math.min(asked, LONGEST_RETRY_AFTER))
end

local function hold_now(lane, cause, word)
  local name = key('lane', lane)
  redis.call('HSET', name, 'held', cause, 'held_since', ts(now), 'probes', 0,
    'probe_at', ts(now + wait_before_probe({}, word)))
  redis.call('HDEL', name, 'probe')
  return 'held'
end

-- Holds the lane for `cause`, or plans its next probe. Returns `held` when the hold is new.
local function hold(lane, lane_hash, id, cause, word)
  local name = key('lane', lane)
  if lane_hash.held == 'person' then return nil end
  if not lane_hash.held then return hold_now(lane, cause, word) end
  redis.call('HSET', name, 'held', cause)
  if lane_hash.probe == id then
    lane_hash.probes = redis.call('HINCRBY', name, 'probes', 1)
    redis.call('HDEL', name, 'probe')
    redis.call('HSET', name, 'probe_at', ts(now + wait_before_probe(lane_hash, word)))
  elseif word.retry_after then
    local at = now + math.min(word.retry_after, LONGEST_RETRY_AFTER)
    if at > tonumber(lane_hash.probe_at or 0) then redis.call('HSET', name, 'probe_at', ts(at)) end
  end
  return nil
end

local function release(lane, lane_hash)
  if not lane_hash.held or lane_hash.held == 'person' then return nil end
  redis.call('HDEL', key('lane', lane), 'held', 'held_since', 'probes', 'probe_at', 'probe', 'note')
  return 'released'
end

-- Counts how many different orders in a row met the same trouble, which `field` remembers.
local function streak(lane, field, lane_hash, id)
  local seen = lane_hash[field] or ''
  local known = string.find(seen, ' ' .. id .. ' ', 1, true)
  if not known then seen = seen .. ' ' .. id .. ' ' end
  redis.call('HSET', key('lane', lane), field, seen)
  local _, count = string.gsub(seen, '  ', '  ')
  return count + 1
end

local function failed(lane, lane_hash, id, word)
  local outage = lane_hash.held or streak(lane, 'failing', lane_hash, id) >= OUTAGE_LIMIT
  if not outage then return nil end
  return hold(lane, lane_hash, id, lane_hash.held or 'outage', word)
end

local function not_found(lane, lane_hash, id, word)
  local missing = streak(lane, 'missing', lane_hash, id)
  if lane_hash.held == 'not_found' or missing >= MISSING_LIMIT then
    return hold(lane, lane_hash, id, 'not_found', word)
  end
  return release(lane, lane_hash)
end

-- What an answer says of its lane. `word` has `what` (passed, found, not_found, failed, blocked),
-- `cause`, `retry_after` and `retry`, the delays between probes. Returns held or released on a
-- change.
local function signal(lane, id, word)
  local name = key('lane', lane)
  local lane_hash = hash(name)
  if word.what == 'blocked' then return hold(lane, lane_hash, id, word.cause, word) end
  if word.what == 'failed' then return failed(lane, lane_hash, id, word) end
  redis.call('HSET', name, 'passed_at', ts(now))
  redis.call('HDEL', name, 'failing', 'vouched')
  if word.what == 'not_found' then return not_found(lane, lane_hash, id, word) end
  redis.call('HDEL', name, 'missing')
  if word.what == 'found' then redis.call('HSET', name, 'found_at', ts(now)) end
  return release(lane, lane_hash)
end

local function waiting_in(lane)
  local waiting = 0
  for _, kind in ipairs(KINDS) do
    waiting = waiting + redis.call('ZCARD', key('ready', lane, kind))
  end
  return waiting
end

-- True when an order waits for a look at the accounts, and the look may be made.
local function look_wanted(lane_hash)
  return lane_hash.look_at and tonumber(lane_hash.look_at) <= now
end

-- One call is reserved for the look, or a busy lane would never look. The reservation ends: no
-- process may be there to make the look.
local function kept_for_look(lane_hash)
  if not look_wanted(lane_hash) then return 0 end
  return now - tonumber(lane_hash.look_at) < LOOK_PATIENCE and 1 or 0
end

local function is_key_trouble(cause) return cause == 'unauthorized' or cause == 'forbidden' end

-- `GET account` tests a key and spends no attempt of an order. If orders are still blocked after it
-- succeeded, orders are the probes. Every third probe is an order anyway: the account endpoint may
-- be the only one blocked.
local function tested_by_account(lane_hash)
  local cause = lane_hash.held
  if not is_key_trouble(cause) or lane_hash.vouched == cause then return false end
  return tonumber(lane_hash.probes or 0) % 3 ~= 2
end

-- What a call about no order says of its lane. The call proves nothing of any order, so `passed_at`
-- and the missing orders stay; trouble that may be of its own path alone holds no lane.
local function lane_signal(lane, member, word)
  local name = key('lane', lane)
  local lane_hash = hash(name)
  local held = lane_hash.held
  if word.what ~= 'passed' then
    local own_path = word.cause == 'forbidden' or word.cause == 'misconfigured'
    if word.what == 'blocked' and own_path and lane_hash.probe ~= member then return nil end
    return signal(lane, member, word)
  end
  redis.call('HDEL', name, 'failing')
  local key_is_right = is_key_trouble(held)
  if not (key_is_right or held == 'rate_limited' or held == 'outage') then return nil end
  if key_is_right then redis.call('HSET', name, 'vouched', held) end
  return release(lane, lane_hash)
end

-- What a single read says of the page before it. A contradiction puts the lane's pages off until a
-- person puts them on; then, and only then, the note is returned.
local function page_judged(lane, verdict, text)
  local name = key('lane', lane)
  if verdict == 'agreed' then redis.call('HINCRBY', name, 'pages_agreed', 1) end
  if verdict ~= 'contradicted' or redis.call('HEXISTS', name, 'pages_off') == 1 then return nil end
  redis.call('HSET', name, 'pages_off', 'contradicted', 'pages_since', ts(now), 'pages_note', text)
  return text
end
