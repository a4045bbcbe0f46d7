-- The outcomes of one channel whose time has come, each reserved for `hold` seconds. One waits for those before it of
-- the same order: a POST until they were taken, a task until they were sent. args: channel, limit, hold, min_age, first_only
local taken, box = {}, key('outbox', args.channel)
-- Tasks of one round leave together, in this order.
local together = {}
for _, member in ipairs(redis.call('ZRANGEBYSCORE', box, '-inf', ts(now), 'LIMIT', 0, args.limit)) do
  local id, sequence = string.match(member, '^(.*)|(%d+)$')
  local text = told(id, sequence)
  local waits
  for before = tonumber(sequence) - 1, 1, -1 do
    local score = redis.call('ZSCORE', box, id .. '|' .. before)
    local sent = args.channel == 'task'
      and (together[id .. '|' .. before] or redis.call('HEXISTS', key('outcomes', id), before .. ':sent') == 1)
    if score and not sent then waits = tonumber(score) end
  end
  if not text then
    redis.call('ZREM', box, member)
  elseif args.first_only and redis.call('HEXISTS', key('outcomes', id), sequence .. ':sent') == 1 then
    -- Its first copy may still wait in a long queue: a second one would only make it longer.
    redis.call('ZADD', box, ts(now + args.hold), member)
  elseif waits then
    redis.call('ZADD', box, ts(math.max(waits, now) + 0.1), member)
  else
    local age = now - tonumber(cjson.decode(text).at)
    if age < args.min_age then
      redis.call('ZADD', box, ts(now + args.min_age - age), member)
    else
      redis.call('ZADD', box, ts(now + args.hold), member)
      local tries = redis.call('HINCRBY', key('outcomes', id), sequence .. ':' .. args.channel, 1)
      together[member] = true
      taken[#taken + 1] = {id = id, sequence = sequence, outcome = text, tries = tries}
    end
  end
end
return reply({result = 'ok', taken = taken})
