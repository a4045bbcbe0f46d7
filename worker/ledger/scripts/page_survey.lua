-- What a page could answer for: the lane's pending orders, those that have waited longest first, then those to come; none
-- that is claimed or whose bell has just been rung. And what earlier pages taught. args: lane, limit
local lane, waiting = args.lane, {}
local function add(id, placed_at)
  local seen = redis.call('HMGET', key('order', id), 'state', 'created_at', 'due_at', 'rank', 'version')
  local due_at = tonumber(seen[3] or 0)
  if seen[1] == 'pending' and seen[2] and (not placed_at or placed_at == due_at) then
    waiting[#waiting + 1] = {id, seen[2], seen[3], seen[4], seen[5] or '0'}
  end
end
for _, id in ipairs(redis.call('ZRANGE', key('ready', lane, 'recheck'), 0, args.limit - 1)) do add(id) end
local later = redis.call('ZRANGE', key('due', lane), 0, args.limit - 1, 'WITHSCORES')
for i = 1, #later, 2 do add(later[i], tonumber(later[i + 1])) end
return reply({result = 'ok', waiting = waiting, known = redis.call('GET', key('pages', lane)) or nil,
  agreed = redis.call('HGET', key('lane', lane), 'pages_agreed') or nil})
