-- The pending orders that a page could answer for: those that have waited longest, then those to
-- come; none that is claimed or was just rung for. And what earlier pages taught.
-- args: lane, limit
-- keys: due, lane, order, pages, ready
local lane, waiting = args.lane, {}

-- `placed_at` is where the order stands in `due`: a lease or a reservation stands elsewhere.
local function add(id, placed_at)
  local state, created_at, due_at, rank, version = unpack(
    redis.call('HMGET', key('order', id), 'state', 'created_at', 'due_at', 'rank', 'version'))
  local in_hand = placed_at and placed_at ~= tonumber(due_at or 0)
  if state == 'pending' and created_at and not in_hand then
    waiting[#waiting + 1] = {id, created_at, due_at, rank, version or '0'}
  end
end

for _, id in ipairs(redis.call('ZRANGE', key('ready', lane, 'recheck'), 0, args.limit - 1)) do
  add(id)
end
local later = redis.call('ZRANGE', key('due', lane), 0, args.limit - 1, 'WITHSCORES')
for i = 1, #later, 2 do add(later[i], tonumber(later[i + 1])) end
return reply({result = 'ok', waiting = waiting,
  known = redis.call('GET', key('pages', lane)) or nil,
  agreed = redis.call('HGET', key('lane', lane), 'pages_agreed') or nil})
