-- When the ledger next has something to do, for the loops that would look four times a second.
-- KEYS: the bases of the rooms; ARGV: now, how many seconds before the last safe moment the web app is warned, channels.
-- Returns six numbers for each room, as one text: when something is due, how much is ready, until when
-- that is blocked, the next warning, the next outcome, the next look at the accounts; or inf.
local now, found = ARGV[1], {}
local function add(text) found[#found + 1] = text or 'inf' end
local function first(name) return redis.call('ZRANGE', name, 0, 0, 'WITHSCORES')[2] end
local function sooner(one, other)
  if not one or other and tonumber(other) < tonumber(one) then return other end
  return one
end
for _, base in ipairs(KEYS) do
  local lane = base .. 'ready:-:'
  local ready, free, warning, outbox = redis.call('EXISTS', lane .. 'confirm', lane .. 'ask', lane .. 'recheck')
  if ready > 0 then
    for _, name in ipairs({'ready:-:confirm', 'calls:-', 'leases:-', 'reserved:-', 'dying:-'}) do
      free = sooner(free, redis.call('ZRANGEBYSCORE', base .. name, '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2])
    end
    local probe = redis.call('HGET', base .. 'lane:-', 'probe_at')
    if probe and tonumber(probe) > tonumber(now) then free = sooner(free, probe) end
  end
  local near = redis.call('ZRANGE', base .. 'deadlines', 0, 0, 'WITHSCORES')
  if near[1] then
    local since = redis.call('HMGET', base .. 'order:' .. near[1], 'accepted_at', 'requeued_at')
    local fresh_until = math.max(tonumber(since[1]), tonumber(since[2] or 0)) + 30
    warning = string.format('%.6f', math.max(tonumber(near[2]) - tonumber(ARGV[2]), fresh_until))
  end
  for channel = 3, #ARGV do outbox = sooner(outbox, first(base .. 'outbox:' .. ARGV[channel])) end
  local held, probe_at, look = unpack(redis.call('HMGET', base .. 'lane:-', 'held', 'probe_at', 'look_at'))
  if (held == 'unauthorized' or held == 'forbidden') and ready > 0 then look = sooner(look, probe_at) end
  add(first(base .. 'due:-')) add(tostring(ready)) add(free) add(warning) add(outbox) add(look)
end
return table.concat(found, ' ')
