-- A member gives partitions back, or leaves. ARGV: consumer, member, whether it leaves ('1'), then its partitions …
local consumer, member, leaves = word(), word(), word() == '1'
local group = prefix .. ':group:' .. consumer
while at < #ARGV do
  local partition = word()
  if redis.call('HGET', group .. ':owners', partition) == member then
    redis.call('HDEL', group .. ':owners', partition)
  end
end
if leaves then redis.call('ZREM', group, member) end
redis.call('PUBLISH', prefix .. ':news', 'g\n' .. consumer .. '\n' .. member)
return 0
