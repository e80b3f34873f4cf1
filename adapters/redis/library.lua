#!lua name=cep_v3

-- How the detector moves on. Scripts do not roll back, so every check stands before the first write.
--
-- KEYS of every function: 1 meta, 2 alerts, 3 dead letters, 4 late events, 5 shadow alerts, 6 journal, 7 lease, and
-- behind them the input streams.
-- meta is a hash: token, lease (its time in ms), epoch, seq, chain, failures, suspect, marked, and for each stream
-- "offset:<key>" (the last entry applied), "count:<key>" (its ordinal), "digest:<key>", "gone:<key>" (what is known to
-- have left it) and "seen:<key>" (how many entries had been added when it was last looked at, and the last id).

local META, JOURNAL, LEASE, STREAMS = 1, 6, 7, 7

local function is_a(kind, key)
  local found = redis.call('TYPE', key)['ok']
  return found == 'none' or found == kind
end

local function info_of(key)
  local found = {}
  if redis.call('EXISTS', key) == 0 then return nil end
  local info = redis.call('XINFO', 'STREAM', key)
  for i = 1, #info, 2 do found[info[i]] = info[i + 1] end
  return found
end

local function parts_of(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return ms, seq
end

-- Ids are 64 bits wide and numbers here are doubles, so digits are compared.
local function less_digits(a, b)
  if #a ~= #b then return #a < #b end
  return a < b
end

local function is_before(a, b)
  local a_ms, a_seq = parts_of(a)
  local b_ms, b_seq = parts_of(b)
  if a_ms ~= b_ms then return less_digits(a_ms, b_ms) end
  return a_seq ~= b_seq and less_digits(a_seq, b_seq)
end

-- Whether an entry <seq>-0 may be appended: outputs have ids of their own, so that none can be appended twice.
local function accepts(key, seq)
  local info = info_of(key)
  return not info or tonumber((parts_of(info['last-generated-id']))) < seq
end

local function outputs_refuse(keys, seq)
  if not is_a('hash', keys[META]) then return redis.error_reply('CEPTYPE ' .. keys[META] .. ' is not a hash') end
  if not is_a('string', keys[LEASE]) then return redis.error_reply('CEPTYPE ' .. keys[LEASE] .. ' is not a string') end
  for i = 2, JOURNAL do
    if not is_a('stream', keys[i]) then return redis.error_reply('CEPTYPE ' .. keys[i] .. ' is not a stream') end
    if not accepts(keys[i], seq) then return redis.error_reply('CEPFOREIGN ' .. keys[i]) end
  end
end

local function owner_refuses(keys, token)
  if not is_a('hash', keys[META]) then return redis.error_reply('CEPTYPE ' .. keys[META] .. ' is not a hash') end
  if redis.call('HGET', keys[META], 'token') ~= token then
    return redis.error_reply('CEPFENCED another process has taken over')
  end
end

-- What a stream is like now: length, entries ever added, first id, last id, up to where entries were deleted.
local function described(key)
  local info = info_of(key)
  if not info then return { '0', '0', '', '0-0', '0-0' } end
  local first = info['first-entry']
  return { tostring(info['length']), tostring(info['entries-added']), first and first[1] or '',
           info['last-generated-id'], info['max-deleted-entry-id'] }
end

-- What has left a stream: up to where entries were deleted, and how many were deleted or trimmed.
local function gone_of(stream)
  return stream[5] .. ' ' .. string.format('%.0f', stream[2] - stream[1])
end

local function seen_of(stream)
  return stream[2] .. ' ' .. stream[4]
end

-- Whether a stream was begun anew since it was seen: entries have been added to it fewer times, or all that it has came
-- later, and is more than was added since.
local function is_another(stream, seen)
  if not seen then return false end
  local added, last = string.match(seen, '^(%d+) (%S+)$')
  local since = stream[2] - added
  return since < 0 or stream[3] ~= '' and is_before(last, stream[3]) and tonumber(stream[1]) > since
end

-- ARGV: token, worker, time of the lease in ms, "1" where a process begins. Takes the log over; returns meta as a flat
-- list, and each stream's description with "1" behind it where it was begun anew.
local function acquire(keys, args)
  local token, worker, ttl, begins = args[1], args[2], args[3], args[4]
  local seq = is_a('hash', keys[META]) and tonumber(redis.call('HGET', keys[META], 'seq') or '0') or 0
  local refusal = outputs_refuse(keys, seq + 1)
  if refusal then return refusal end
  local holder = redis.call('GET', keys[LEASE])
  local left, given = redis.call('PTTL', keys[LEASE]), redis.call('HGET', keys[META], 'lease') or ttl
  -- Where more is left than was given the clock has gone back, as with a failover, and the lease says nothing.
  if holder and holder ~= worker and left <= tonumber(given) then
    return redis.error_reply('CEPOWNED ' .. holder .. ' holds it for ' .. left .. ' ms')
  end
  redis.call('HSET', keys[META], 'token', token, 'lease', ttl)
  redis.call('HINCRBY', keys[META], 'epoch', 1)
  local meta = redis.call('HGETALL', keys[META])
  if begins == '1' then redis.call('HINCRBY', keys[META], 'failures', 1) end
  redis.call('SET', keys[LEASE], worker, 'PX', ttl)
  local streams = {}
  for i = STREAMS + 1, #keys do
    local stream = described(keys[i])
    streams[#streams + 1] = stream
    if redis.call('HEXISTS', keys[META], 'offset:' .. keys[i]) == 0 then
      -- What is gone by now was before our time, and what goes from now on is missed.
      local count = string.format('%.0f', stream[2] - stream[1])
      redis.call('HSET', keys[META], 'offset:' .. keys[i], '0-0', 'count:' .. keys[i], count, 'digest:' .. keys[i], 0)
    end
    redis.call('HSET', keys[META], 'gone:' .. keys[i], gone_of(stream))  -- whoever takes over counts what it means
    if is_another(stream, redis.call('HGET', keys[META], 'seen:' .. keys[i])) then
      stream[6] = '1'  -- until the gap is committed
    else
      redis.call('HSET', keys[META], 'seen:' .. keys[i], seen_of(stream))
    end
  end
  return { meta, streams }
end

-- ARGV: token, worker, time of the lease in ms. Keeps the lease while there is nothing to commit.
local function renew(keys, args)
  local refusal = owner_refuses(keys, args[1])
  if refusal then return refusal end
  redis.call('SET', keys[LEASE], args[2], 'PX', args[3])
  return 'OK'
end

-- ARGV: token. Lets go of the lease.
local function release(keys, args)
  local refusal = owner_refuses(keys, args[1])
  if refusal then return refusal end
  redis.call('DEL', keys[LEASE])
  return 'OK'
end

-- ARGV: token, field, value. Notes something in meta: a suspect, or that nothing has failed.
local function note(keys, args)
  local refusal = owner_refuses(keys, args[1])
  if refusal then return refusal end
  redis.call('HSET', keys[META], args[2], args[3])
  return 'OK'
end

-- Whether some entries, the last of which is `offset`, the `count`th ever, are not just what stands behind the last
-- offset, or are gone meanwhile.
local function stream_refuses(meta, key, stream, entries, offset, count)
  local function gap(what) return redis.error_reply('CEPGAP ' .. key .. ' ' .. what) end
  if #redis.call('XRANGE', key, offset, offset) == 0 then return gap('no longer has ' .. offset) end
  local known = redis.call('HMGET', meta, 'offset:' .. key, 'gone:' .. key, 'seen:' .. key)
  local last = known[1] or '0-0'
  local trimmed = stream[2] - stream[1]
  if tonumber(stream[2]) < count or is_another(stream, known[3]) then return gap('was begun anew') end
  if is_before(last, stream[3]) and trimmed ~= count - entries then
    return gap(trimmed > count - entries and 'has lost entries' or 'was begun anew')
  end
  if is_before(last, stream[5]) and known[2] ~= gone_of(stream) then
    return gap('has lost entries')
  end
end

-- Reads lists that stand one behind the other in args, each with its length before it: where the next begins and ends.
local function lists_of(args, at)
  return function()
    local first, count = at + 1, tonumber(args[at])
    at = first + count
    return first, at - 1
  end
end

-- Checks the streams that have moved, 6 words each; the fields and values of meta that they become, or a refusal.
local function moved_streams(keys, args, first, final)
  local fields = {}
  for i = first, final, 6 do
    local number, entries, offset, count, digest, is_gap = unpack(args, i, i + 5)
    local key = keys[STREAMS + number]
    if not is_a('stream', key) then return nil, redis.error_reply('CEPTYPE ' .. key .. ' is not a stream') end
    local stream = described(key)
    local refusal = is_gap ~= '1' and stream_refuses(keys[META], key, stream, tonumber(entries), offset, tonumber(count))
    if refusal then return nil, refusal end
    for name, value in pairs({ offset = offset, count = count, digest = digest, seen = seen_of(stream) }) do
      fields[#fields + 1] = name .. ':' .. key
      fields[#fields + 1] = value
    end
  end
  return fields
end

local function append(key, seq, args, first, final, width)
  local n = 0
  for i = first, final, width do
    redis.call('XADD', key, seq .. '-' .. n, unpack(args, i, i + width - 1))
    n = n + 1
  end
end

-- ARGV: token, worker, time of the lease in ms, seq, chain before, chain after, the idle streams, "1" if the turn is
-- not a plain one, what the journal is to say of it; then lists: of each stream that has moved its place, how many
-- entries, offset, ordinal, digest, and "1" where it has not read them but lost them; alerts, dead letters (8 fields and
-- values each), late events (4), shadow alerts.
local function commit(keys, args)
  local token, worker, ttl, seq, before, after, idle, is_marked, turn = unpack(args, 1, 9)
  local refusal = owner_refuses(keys, token)
  if refusal then return refusal end
  local meta = redis.call('HMGET', keys[META], 'seq', 'chain')
  local last, chain = tonumber(meta[1] or '0'), meta[2] or ''
  seq = tonumber(seq)
  if last == seq and chain == after then return 'DUPLICATE' end
  if last ~= seq - 1 or chain ~= before then
    return redis.error_reply('CEPFORK commit ' .. seq .. ' after ' .. last)
  end
  refusal = outputs_refuse(keys, seq)
  if refusal then return refusal end
  local list, fields = lists_of(args, 10), nil
  fields, refusal = moved_streams(keys, args, list())
  if refusal then return refusal end

  redis.call('HSET', keys[META], 'seq', seq, 'chain', after, 'idle', idle, unpack(fields))
  if is_marked == '1' then redis.call('HSET', keys[META], 'marked', '1') end
  redis.call('XADD', keys[JOURNAL], seq .. '-0', 'chain', after, 'turn', turn)
  for place, width in ipairs({ 2, 16, 8, 2 }) do
    local first, final = list()
    append(keys[place + 1], seq, args, first, final, width)
  end
  redis.call('SET', keys[LEASE], worker, 'PX', ttl)
  return 'OK'
end

-- ARGV: token, seq and chain of the oldest point that is still of use, and for each stream its oldest offset of use or
-- "". Trims, unless that is a point of another history.
local function trim(keys, args)
  local refusal = owner_refuses(keys, args[1])
  if refusal then return refusal end
  local turn = redis.call('XRANGE', keys[JOURNAL], args[2] .. '-0', args[2] .. '-0')[1]
  if not turn or turn[2][2] ~= args[3] then return 'OK' end
  redis.call('XTRIM', keys[JOURNAL], 'MINID', args[2] .. '-0')
  for i = 4, #args do
    local key = keys[STREAMS + i - 3]
    local applied = redis.call('HGET', keys[META], 'offset:' .. key)
    if args[i] ~= '' and applied and not is_before(applied, args[i]) then
      local is_known = redis.call('HGET', keys[META], 'gone:' .. key) == gone_of(described(key))
      redis.call('XTRIM', key, 'MINID', args[i])
      if is_known then redis.call('HSET', keys[META], 'gone:' .. key, gone_of(described(key))) end
    end
  end
  return 'OK'
end

local function register(name, callback)
  redis.register_function{ function_name = 'cep_v3_' .. name, callback = callback, flags = { 'allow-oom' } }
end

register('acquire', acquire)
register('renew', renew)
register('release', release)
register('note', note)
register('commit', commit)
register('trim', trim)
