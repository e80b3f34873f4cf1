#!lua name=cep_append_v1

-- How producers append, so that what is sent twice is appended once.
--
-- KEYS: 1 the stream, 2 what it remembers of the producer: how many of its events it has.
-- ARGV: the number of the first event, from 1 over all that the producer sends to the stream; how many events; for how
-- many ms the producer is remembered; then entries, each a list of fields and values with its length before it.
-- Returns how many of the producer's events the stream had before; -1 if it does not know the producer.

local function is_a(kind, key)
  local found = redis.call('TYPE', key)['ok']
  return found == 'none' or found == kind
end

local function append(keys, args)
  local stream, memory = keys[1], keys[2]
  local first, events, ttl = tonumber(args[1]), tonumber(args[2]), args[3]
  if not is_a('stream', stream) then return redis.error_reply('CEPTYPE ' .. stream .. ' is not a stream') end
  if not is_a('string', memory) then return redis.error_reply('CEPTYPE ' .. memory .. ' is not a string') end
  local remembered = redis.call('GET', memory)
  local known, last = tonumber(remembered or '0'), first + events - 1
  if last <= known then return known end
  if first <= known then
    return redis.error_reply('CEPORDER ' .. stream .. ' has events up to ' .. known .. ', and these begin at ' .. first)
  end
  local at = 4
  while at <= #args do
    local count = tonumber(args[at])
    redis.call('XADD', stream, '*', unpack(args, at + 1, at + count))
    at = at + count + 1
  end
  redis.call('SET', memory, string.format('%.0f', last), 'PX', ttl)
  return remembered and known or -1
end

redis.register_function('cep_append_v1', append)
