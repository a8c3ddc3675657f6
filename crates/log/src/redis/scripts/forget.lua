-- Forgets a consumer. ARGV: consumer, then stream, partitions …
local consumer = word()
redis.call('SREM', prefix .. ':consumers', consumer)
while at < #ARGV do
  local base, partitions = base_of(word()), number()
  for p = 0, partitions - 1 do
    local before = waiting(base .. 'meta', p)
    if redis.call('HDEL', base .. 'positions', consumer .. '/' .. p) == 1 then
      redis.pcall('XGROUP', 'DESTROY', base .. p, consumer)
      furthest(base, p)
      settle(base .. 'meta', p, before)
    end
  end
end
redis.call('PUBLISH', prefix .. ':news', 'f\n' .. consumer)
return 0
