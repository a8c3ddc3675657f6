-- Moves ends up: what was handed out and lost is not handed out again. ARGV: stream, then partition, end …
local name = word()
local base = base_of(name)
local meta = base .. 'meta'
local raised = 0
while at < #ARGV do
  local p, to = word(), word()
  local key = base .. p
  if tonumber(redis.call('HGET', meta, 'n' .. p) or 0) < tonumber(to) then
    local before = waiting(meta, p)
    if redis.call('EXISTS', key) == 0 then
      make_group(key, 'raise', 0)
      redis.call('XGROUP', 'DESTROY', key, 'raise')
    end
    redis.call('XSETID', key, '0-' .. to, 'ENTRIESADDED', to)
    redis.call('HSET', meta, 'n' .. p, to)
    if redis.call('XLEN', key) == 0 then redis.call('HSET', meta, 'f' .. p, to) end
    settle(meta, p, before)
    raised = raised + 1
  end
end
return raised
