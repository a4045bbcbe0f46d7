-- What the server's disk holds, kept beside the living keys under `disk:`. ARGV[1]: sync, restore or clear.
-- KEYS[1]: prefix.
local function each(pattern, call)
  for _, name in ipairs(redis.call('KEYS', pattern)) do call(name) end
end
if ARGV[1] == 'sync' then
  each('disk:*', function(name)
    if redis.call('EXISTS', string.sub(name, 6)) == 0 then redis.call('DEL', name) end
  end)
  each(KEYS[1] .. ':*', function(name) redis.call('COPY', name, 'disk:' .. name, 'REPLACE') end)
else
  each(KEYS[1] .. ':*', function(name) redis.call('DEL', name) end)
  each('disk:*', function(name) redis.call('COPY', name, string.sub(name, 6), 'REPLACE') end)
end
return 1
