#!lua name=cep_v2

-- The commit of a batch. Scripts do not roll back, so every check stands before the first write.
-- KEYS: meta, alerts, dead letters, late events, shadow alerts. meta is a hash: token, seq, digest, and "offset:<stream>" for each stream.

local function is_a(kind, key)
  local found = redis.call('TYPE', key)['ok']
  return found == 'none' or found == kind
end

-- Whether an entry <seq>-0 may be appended: outputs have ids of their own, so that none can be appended twice.
local function accepts(key, seq)
  if redis.call('EXISTS', key) == 0 then return true end
  local info = redis.call('XINFO', 'STREAM', key)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then return tonumber(string.match(info[i + 1], '^%d+')) < seq end
  end
end

local function outputs_refuse(keys, seq)
  if not is_a('hash', keys[1]) then return redis.error_reply('CEPTYPE ' .. keys[1] .. ' is not a hash') end
  for i = 2, 5 do
    if not is_a('stream', keys[i]) then return redis.error_reply('CEPTYPE ' .. keys[i] .. ' is not a stream') end
    if not accepts(keys[i], seq) then return redis.error_reply('CEPFOREIGN ' .. keys[i]) end
  end
end

-- ARGV: token. Takes the log over; returns meta as a flat list.
local function acquire(keys, args)
  local seq = is_a('hash', keys[1]) and tonumber(redis.call('HGET', keys[1], 'seq') or '0') or 0
  local refusal = outputs_refuse(keys, seq + 1)
  if refusal then return refusal end
  redis.call('HSET', keys[1], 'token', args[1])
  return redis.call('HGETALL', keys[1])
end

-- ARGV: token, seq, digest; then five lists, each with its length before it: meta fields and values of offsets,
-- alerts, dead letters (8 fields and values each), late events (4 fields and values each), shadow alerts.
local function commit(keys, args)
  local token, seq, digest = args[1], tonumber(args[2]), args[3]
  if not is_a('hash', keys[1]) then return redis.error_reply('CEPTYPE ' .. keys[1] .. ' is not a hash') end
  local meta = redis.call('HMGET', keys[1], 'token', 'seq', 'digest')
  if meta[1] ~= token then return redis.error_reply('CEPFENCED another process has taken over') end
  local last = tonumber(meta[2] or '0')
  if last == seq and meta[3] == digest then return 'DUPLICATE' end
  if last ~= seq - 1 then return redis.error_reply('CEPFORK commit ' .. seq .. ' after ' .. last) end
  local refusal = outputs_refuse(keys, seq)
  if refusal then return refusal end

  local at = 4
  local function list()
    local first, count = at + 1, tonumber(args[at])
    at = first + count
    return first, at - 1
  end
  local function append(key, width)
    local first, final = list()
    local n = 0
    for i = first, final, width do
      redis.call('XADD', key, seq .. '-' .. n, unpack(args, i, i + width - 1))
      n = n + 1
    end
  end
  local first, final = list()
  redis.call('HSET', keys[1], 'seq', seq, 'digest', digest, unpack(args, first, final))
  append(keys[2], 2)
  append(keys[3], 16)
  append(keys[4], 8)
  append(keys[5], 2)
  return 'OK'
end

redis.register_function{ function_name = 'cep_v2_acquire', callback = acquire, flags = { 'allow-oom' } }
redis.register_function{ function_name = 'cep_v2_commit', callback = commit, flags = { 'allow-oom' } }
