-- When the ledger next has something to do, for the loops that would look four times a second.
-- KEYS[1]: prefix; ARGV[1]: now; ARGV[2]: channels, JSON; ARGV[3]: how
-- many seconds before the last safe moment the web app is warned. Returns {due, ready (1 or 0), blocked until, outbox, warning}.
local now, due, ready, free, outbox, warning = tonumber(ARGV[1]), nil, 0, nil, nil, nil
local function sooner(one, name, after)
  local first = redis.call('ZRANGEBYSCORE', name, after and '(' .. after or '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  local score = tonumber(first[2])
  if score and (not one or score < one) then return score end
  return one
end
for _, room in ipairs({'relograde', 'logitrail'}) do
  local base = KEYS[1] .. ':{' .. room .. '}:'
  due = sooner(due, base .. 'due:-')
  for _, kind in ipairs({'confirm', 'ask', 'recheck'}) do
    if redis.call('ZCARD', base .. 'ready:-:' .. kind) > 0 then ready = 1 end
  end
  if ready == 1 then
    for _, name in ipairs({'ready:-:confirm', 'calls:-', 'leases:-', 'reserved:-'}) do
      free = sooner(free, base .. name, ARGV[1])
    end
    local probe = tonumber(redis.call('HGET', base .. 'lane:-', 'probe_at') or nil)
    if probe and probe > now and (not free or probe < free) then free = probe end
  end
  local near = redis.call('ZRANGE', base .. 'deadlines', 0, 0, 'WITHSCORES')
  if near[1] then
    local since = redis.call('HMGET', base .. 'order:' .. near[1], 'accepted_at', 'requeued_at')
    local fresh_until = math.max(tonumber(since[1]), tonumber(since[2] or 0)) + 30
    local at = math.max(tonumber(near[2]) - tonumber(ARGV[3]), fresh_until)
    if not warning or at < warning then warning = at end
  end
end
for _, room in ipairs({'relograde', 'logitrail', 'messages'}) do
  for _, channel in ipairs(cjson.decode(ARGV[2])) do
    outbox = sooner(outbox, KEYS[1] .. ':{' .. room .. '}:outbox:' .. channel)
  end
end
local function text(number) return number and string.format('%.6f', number) or '' end
return {text(due), tostring(ready), text(free), text(outbox), text(warning)}
