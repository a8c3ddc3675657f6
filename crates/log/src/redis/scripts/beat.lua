-- A member of a group says that it lives, takes its share of what is free, and hears what it has too much.
-- ARGV: consumer, member, lease in ms, then its partitions as stream/partition …  Gives the excess, then what is its own.
local consumer, member, lease = word(), word(), number()
local group = prefix .. ':group:' .. consumer
local owners, heard = group .. ':owners', group .. ':heard'
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
-- Nobody was heard for a whole lease: it was Redis that was away. All get the time to say that they live.
if now - tonumber(redis.call('GET', heard) or 0) > lease then
  for _, known in ipairs(redis.call('ZRANGE', group, 0, -1)) do redis.call('ZADD', group, plain(now + lease), known) end
end
redis.call('SET', heard, plain(now), 'PX', 86400000)
local changed = redis.call('ZADD', group, plain(now + lease), member) == 1
changed = redis.call('ZREMRANGEBYSCORE', group, '-inf', '(' .. plain(now)) > 0 or changed
local members, held = redis.call('ZRANGE', group, 0, -1), {}
for _, known in ipairs(members) do held[known] = 0 end
local owner_of, flat = {}, redis.call('HGETALL', owners)
for i = 1, #flat, 2 do
  if held[flat[i + 1]] then
    owner_of[flat[i]] = flat[i + 1]
    held[flat[i + 1]] = held[flat[i + 1]] + 1
  else
    redis.call('HDEL', owners, flat[i])
  end
end
local all = #ARGV - at
-- Whoever holds most keeps the odd ones: as little moves as can.
table.sort(members, function(a, b) return held[a] > held[b] or (held[a] == held[b] and a < b) end)
local share = math.floor(all / #members)
for i = 1, all % #members do
  if members[i] == member then share = share + 1 end
end
local mine, free = {}, {}
while at < #ARGV do
  local partition = word()
  if owner_of[partition] == member then
    mine[#mine + 1] = partition
  elseif not owner_of[partition] then
    free[#free + 1] = partition
  end
end
for _, partition in ipairs(free) do
  if #mine >= share then break end
  redis.call('HSET', owners, partition, member)
  mine[#mine + 1] = partition
end
redis.call('PEXPIRE', group, 86400000)
redis.call('PEXPIRE', owners, 86400000)
if changed then redis.call('PUBLISH', prefix .. ':news', 'g\n' .. consumer .. '\n' .. member) end
local out = { plain(math.max(0, #mine - share)) }
for i, partition in ipairs(mine) do out[i + 1] = partition end
return out
