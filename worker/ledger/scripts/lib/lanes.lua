-- A lane's budget, holds and looks. No answer touches a person's hold.
-- args: none
-- keys: calls, deadlines, hosts, lane, order, ready, warned
local MISSING_LIMIT = 3
local OUTAGE_LIMIT = 5
local LONGEST_RETRY_AFTER = 300
local LOOK_PATIENCE = 60
local UNLIMITED = 1000000
-- Seconds for which a find shows that key and environment are right.
local FIND_COUNTS = 60
-- A lane that is held because orders are not found is probed every so many seconds, at least.
local LONGEST_NOT_FOUND = 5
-- Seconds before a last safe moment at which a probe still lets that order be confirmed in time.
local PROBE_LEAD = 15
-- Seconds between two probes that a deadline brings forward, and behind one without an answer.
local PROBE_FLOOR, PROBE_IN_HAND = 5, 10
local NEAREST = 20
-- Seconds for which one order tests a host that failed.
local HOST_TEST = 30

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

-- Hosts: each has a health of its own. `hosts` holds, by number, until when a host that failed is
-- left alone; a host without an entry is healthy.

local function is_down(lane, host) return redis.call('HEXISTS', key('hosts', lane), host) == 1 end

local function another_is_healthy(lane, word)
  for host = 0, word.hosts - 1 do
    if host ~= word.host and not is_down(lane, host) then return true end
  end
  return false
end

local function host_failed(lane, word)
  local name = key('hosts', lane)
  local failures = redis.call('HINCRBY', name, word.host .. ':failures', 1)
  local wait = word.retry[math.min(failures, #word.retry)]
  redis.call('HSET', name, word.host, ts(now + wait))
end

local function host_answered(lane, word)
  redis.call('HDEL', key('hosts', lane), word.host, word.host .. ':failures')
end

-- The host for an order that may go to any of them: the preferred one, unless it failed and another
-- is healthy. When its time is over, one order tests it. When all failed, the one that failed
-- longest ago.
local function choose_host(lane, preferred, hosts)
  local down = hash(key('hosts', lane))
  if not down[tostring(preferred)] then return preferred end
  if tonumber(down[tostring(preferred)]) <= now then
    redis.call('HSET', key('hosts', lane), preferred, ts(now + HOST_TEST))
    return preferred
  end
  local best = preferred
  for host = 0, hosts - 1 do
    local name = tostring(host)
    if not down[name] then return host end
    if tonumber(down[name]) < tonumber(down[tostring(best)]) then best = host end
  end
  return best
end

-- The nearest last safe moment of an order of the lane; nil without one. Other lanes' orders may be
-- nearer: so many of them are passed over.
local function nearest_deadline(lane)
  local nearest = math.huge
  for _, name in ipairs({key('deadlines'), key('warned')}) do
    local found = redis.call('ZRANGEBYSCORE', name, ts(now), '+inf', 'WITHSCORES',
      'LIMIT', 0, NEAREST)
    for i = 1, #found, 2 do
      local account = redis.call('HGET', key('order', found[i]), 'account') or '-'
      if account == lane then
        nearest = math.min(nearest, tonumber(found[i + 1]))
        break
      end
    end
  end
  return nearest
end

-- When the held lane's next probe goes out: on its schedule, or before the nearest last safe
-- moment, or an order would die of the phase of the schedule.
local function probe_due_at(lane, lane_hash)
  local planned = tonumber(lane_hash.probe_at or 'inf')
  local from = tonumber(lane_hash.probe_from or 0)
  return math.min(planned, math.max(nearest_deadline(lane) - PROBE_LEAD, from))
end

local function wait_before_probe(lane_hash, cause, word)
  local probes = tonumber(lane_hash.probes or 0)
  local wait = word.retry[math.min(probes + 1, #word.retry)]
  if cause == 'not_found' then wait = math.min(wait, LONGEST_NOT_FOUND) end
  local asked = math.max(word.retry_after or 0, 0)
  return math.max(wait, math.min(asked, LONGEST_RETRY_AFTER))
end

local function plan_probe(lane, lane_hash, cause, word)
  local asked = math.min(math.max(word.retry_after or 0, 0), LONGEST_RETRY_AFTER)
  redis.call('HSET', key('lane', lane),
    'probe_at', ts(now + wait_before_probe(lane_hash, cause, word)),
    'probe_from', ts(now + math.max(PROBE_FLOOR, asked)))
end

local function hold_now(lane, cause, word)
  local name = key('lane', lane)
  redis.call('HSET', name, 'held', cause, 'held_since', ts(now), 'probes', 0)
  redis.call('HDEL', name, 'probe', 'turn')
  plan_probe(lane, {}, cause, word)
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
    plan_probe(lane, lane_hash, cause, word)
  elseif word.retry_after then
    local at = now + math.min(word.retry_after, LONGEST_RETRY_AFTER)
    if at > tonumber(lane_hash.probe_at or 0) then
      redis.call('HSET', name, 'probe_at', ts(at), 'probe_from', ts(at))
    end
  end
  return nil
end

local function release(lane, lane_hash)
  if not lane_hash.held or lane_hash.held == 'person' then return nil end
  redis.call('HDEL', key('lane', lane), 'held', 'held_since', 'probes', 'probe_at', 'probe_from',
    'probe', 'note')
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

-- An outage is when no host answers: one that fails holds nothing while another is healthy.
local function failed(lane, lane_hash, id, word)
  if word.hosts > 1 then
    host_failed(lane, word)
    if not lane_hash.held and another_is_healthy(lane, word) then return nil end
  end
  local outage = lane_hash.held or streak(lane, 'failing', lane_hash, id) >= OUTAGE_LIMIT
  if not outage then return nil end
  return hold(lane, lane_hash, id, lane_hash.held or 'outage', word)
end

-- Several orders in a row that are not found raise the question whether key and environment are
-- right, unless the lane has just found one.
local function not_found(lane, lane_hash, id, word)
  local missing = streak(lane, 'missing', lane_hash, id)
  local just_found = now - tonumber(lane_hash.found_at or 0) < FIND_COUNTS
  local doubtful = missing >= MISSING_LIMIT and not just_found
  if lane_hash.held == 'not_found' or doubtful then
    return hold(lane, lane_hash, id, 'not_found', word)
  end
  return release(lane, lane_hash)
end

-- What an answer says of its lane. `word` has `what` (passed, found, not_found, failed, blocked),
-- `cause`, `retry_after`, `retry` (the delays between probes), `hosts` (how many the supplier has)
-- and `host` (the number of the one that was called). Returns held or released on a change.
local function signal(lane, id, word)
  local name = key('lane', lane)
  local lane_hash = hash(name)
  if word.hosts > 1 and word.what ~= 'failed' then host_answered(lane, word) end
  if word.what == 'blocked' then return hold(lane, lane_hash, id, word.cause, word) end
  if word.what == 'failed' then return failed(lane, lane_hash, id, word) end
  redis.call('HSET', name, 'passed_at', ts(now))
  redis.call('HDEL', name, 'failing', 'vouched')
  if word.what == 'not_found' then return not_found(lane, lane_hash, id, word) end
  redis.call('HDEL', name, 'missing')
  if word.what == 'found' then redis.call('HSET', name, 'found_at', ts(now), 'known', id) end
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

-- What asking for a known order says of a lane that is held because others are not found. With it
-- found, key and environment are right: orders that are not found again are at fault themselves.
local function known_signal(lane, lane_hash, word)
  if word.what ~= 'found' then return nil end
  redis.call('HSET', key('lane', lane), 'found_at', ts(now))
  redis.call('HDEL', key('lane', lane), 'missing')
  if lane_hash.held ~= 'not_found' then return nil end
  return release(lane, lane_hash)
end

local function lane_call_passed(lane, lane_hash)
  local name, held = key('lane', lane), lane_hash.held
  redis.call('HDEL', name, 'failing')
  local key_is_right = is_key_trouble(held)
  if not (key_is_right or held == 'rate_limited' or held == 'outage') then return nil end
  if key_is_right then redis.call('HSET', name, 'vouched', held) end
  return release(lane, lane_hash)
end

-- What a call about no order says of its lane. The call proves nothing of any order, so `passed_at`
-- and the missing orders stay; trouble that may be of its own path alone holds no lane.
local function lane_signal(lane, member, word)
  local lane_hash = hash(key('lane', lane))
  if member == '|known' then return known_signal(lane, lane_hash, word) end
  if word.what == 'passed' then return lane_call_passed(lane, lane_hash) end
  local own_path = word.cause == 'forbidden' or word.cause == 'misconfigured'
  if word.what == 'blocked' and own_path and lane_hash.probe ~= member then return nil end
  return signal(lane, member, word)
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
