-- The log's functions, run inside Valkey: each call is atomic, so an append deduplicates, gives positions and writes in one step.
--
-- KEYS of each function: state (hash), index (sorted set), chunks (hash), and the four hashes of dedup keys.
-- The first argument of each, except `open`, is the log's id: a server that lost its data is not written to.
-- Lua's numbers are doubles, which cannot hold a position: its milliseconds and its low 20 bits travel apart, and are
-- written as 6 and 3 bytes, whose order is that of positions. A member of the index is
--     position of the chunk's last entry (9) | of its last event, or zeros (9) | entries (4) | events (4) | bytes of payload (4)
-- and a chunk is
--     entries (4) | position of the first (9) | its tail (7) | per entry: bytes (4), kind (1), CRC-32 (4) | the payloads
-- An append goes to one partition, which the low 6 bits of its positions say; all partitions share one sequence and one index.
-- A dedup key's value is the position (9) and the tail (7) that it was first given.

local STEP, SEQUENCES, RING = 64, 16384, 4
local MANY = 4000 -- `unpack` of more than some 8,000 values fails
local HEAD = 9 -- bytes of an entry's size, kind and checksum
local KEY = 16
-- Spelt out: no library can be called while the functions are loaded.
local NO_KEY = '\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000'
local NO_POSITION = '\000\000\000\000\000\000\000\000\000'
local HISTORY = 32 -- the bit of the first of the tail's seven bytes

local function number(value)
  return tonumber(value or 0)
end

local function text(value)
  return string.format('%.0f', value)
end

local function packed(ms, low)
  return struct.pack('>I6I3', ms, low)
end

local function now_of(given)
  if given ~= '' then
    return tonumber(given)
  end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function read(key)
  local found, state = redis.call('HGETALL', key), {}
  for i = 1, #found, 2 do
    state[found[i]] = found[i + 1]
  end
  return state
end

-- The state of the log with this id, or nil and the error.
local function state_of(key, id)
  local state = read(key)
  if state.id ~= id then
    return nil, redis.error_reply('HEADRACE_LOST this server does not have the log any more')
  end
  return state
end

-- Call a command on a flat list of arguments, some at a time.
local function in_portions(command, key, values)
  for start = 1, #values, MANY do
    redis.call(command, key, unpack(values, start, math.min(start + MANY - 1, #values)))
  end
end

-- The values of those dedup keys that are known within the window, by index. keys: by index; wanted: the indexes.
local function find(rings, state, keys, wanted, oldest)
  local found, current = {}, number(state.ring)
  for step = 0, RING - 1 do
    local ring = (current - step) % RING
    if #wanted > 0 and state['newest' .. ring] then
      local missing = {}
      for start = 1, #wanted, MANY do
        local asked = {}
        for i = start, math.min(start + MANY - 1, #wanted) do
          asked[#asked + 1] = keys[wanted[i]]
        end
        local values = redis.call('HMGET', rings[ring + 1], unpack(asked))
        for i = 1, #asked do
          local at = wanted[start + i - 1]
          if not values[i] then
            missing[#missing + 1] = at
          elseif struct.unpack('>I6', values[i]) >= oldest then
            found[at] = values[i]
          end -- else forgotten, and older hashes have nothing newer
        end
      end
      wanted = missing
    end
  end
  return found
end

-- Forget every key in one of the four hashes.
local function forget_ring(keys, ring)
  redis.call('UNLINK', keys[4 + ring])
  redis.call('HDEL', keys[1], 'newest' .. ring, 'began' .. ring)
end

-- The number of the hash that new keys go to. A hash is left once it spans a third of the window or holds a quarter of the keys.
local function ring_for(keys, state, now, window, most)
  local ring = number(state.ring)
  local began = state['began' .. ring]
  if not began then
    state['began' .. ring] = text(now)
    redis.call('HSET', keys[1], 'ring', ring, 'began' .. ring, text(now))
    return ring
  end
  local full = redis.call('HLEN', keys[4 + ring]) >= most / RING
  if not full and now - number(began) < window / 3 then
    return ring
  end
  local following = (ring + 1) % RING
  local newest = state['newest' .. following]
  if newest and number(newest) >= now - window then
    if not full then -- the clock went back
      return ring
    end
    redis.call('HSET', keys[1], 'forgotten', newest)
  end
  forget_ring(keys, following)
  redis.call('HSET', keys[1], 'ring', following, 'began' .. following, text(now))
  return following
end

local function open(keys, args)
  local id, instance, floor_ms, floor_low, oldest = args[1], args[2], tonumber(args[3]), tonumber(args[4]), tonumber(args[5])
  local partitions = args[6]
  local state = read(keys[1])
  if not state.id then
    redis.call('HSET', keys[1], 'id', id, 'format', '1', 'instance', instance, 'ms', '0', 'low', '0', 'bytes', '0', 'events', '0')
    if partitions ~= '1' then
      redis.call('HSET', keys[1], 'partitions', partitions)
    end
    state = read(keys[1])
  end
  if state.format ~= '1' then
    return redis.error_reply('HEADRACE_FORMAT ' .. state.format)
  elseif state.instance ~= instance then
    return redis.error_reply('HEADRACE_OTHER')
  elseif (state.partitions or '1') ~= partitions then
    return redis.error_reply('HEADRACE_PARTITIONS ' .. (state.partitions or '1'))
  end
  local ms, low = number(state.ms), number(state.low)
  if floor_ms > ms or (floor_ms == ms and floor_low > low) then
    -- The store has events that the log never had or has lost: their keys are to be learnt.
    local after = packed(ms, low)
    if ms < oldest then
      after = packed(oldest, 0)
    end
    if floor_ms >= oldest then
      redis.call('HSET', keys[1], 'lost_after', state.lost_after or after, 'lost_upto', packed(floor_ms, floor_low))
    end
    redis.call('HSET', keys[1], 'ms', text(floor_ms), 'low', text(floor_low))
  end
  return redis.call('HMGET', keys[1], 'id', 'lost_after', 'lost_upto')
end

-- The entries that are no repeats: their count, heads, payloads, events and the index of the last event among them.
local function kept(count, heads, payloads, has_commands, repeats)
  if not repeats and not has_commands then
    return count, heads, payloads, count, count
  end
  local some_heads, some_payloads, at, entries, events, last_event = {}, {}, 1, 0, 0, 0
  for i = 1, count do
    local size, kind = struct.unpack('>I4I1', heads, HEAD * (i - 1) + 1)
    if not (repeats and repeats[i]) then
      entries = entries + 1
      some_heads[entries] = string.sub(heads, HEAD * (i - 1) + 1, HEAD * i)
      some_payloads[entries] = string.sub(payloads, at, at + size - 1)
      if kind == 0 then
        events, last_event = events + 1, entries
      end
    end
    at = at + size
  end
  return entries, table.concat(some_heads), table.concat(some_payloads), events, last_event
end

local function append(keys, args)
  local state, lost = state_of(keys[1], args[1])
  if not state then
    return lost
  end
  local now, partition, known_ms, known_low = now_of(args[2]), tonumber(args[3]), tonumber(args[4]), tonumber(args[5])
  local history, tail, count, has_commands = tonumber(args[6]), tonumber(args[7]), tonumber(args[8]), args[9] == '1'
  local max_bytes, window, most_keys = tonumber(args[10]), tonumber(args[11]), tonumber(args[12])
  local heads, key_bytes, payloads = args[13], args[14], args[15]
  if number(state.bytes) >= max_bytes then
    return redis.error_reply('HEADRACE_FULL')
  end

  -- Which are repeats: of keys known before, or of one earlier in this call.
  local by_index, first_with, same, wanted, repeats = {}, {}, {}, {}, nil
  if #key_bytes > 0 then
    for i = 1, count do
      local key = string.sub(key_bytes, KEY * (i - 1) + 1, KEY * i)
      if key ~= NO_KEY then
        if first_with[key] then
          repeats = repeats or {}
          same[i], repeats[i] = first_with[key], true
        else
          by_index[i], first_with[key], wanted[#wanted + 1] = key, i, i
        end
      end
    end
  end
  local values = find({ unpack(keys, 4, 7) }, state, by_index, wanted, now - window)
  for i in pairs(values) do
    repeats = repeats or {}
    repeats[i] = true
  end

  -- The first position: after the last one given, and after what the caller has seen given by a server before this one.
  local last_ms, last_low = number(state.ms), number(state.low)
  if known_ms > last_ms or (known_ms == last_ms and known_low > last_low) then
    last_ms, last_low = known_ms, known_low
  end
  local ms, sequence = last_ms, math.floor(last_low / STEP) + 1
  if sequence == SEQUENCES then
    ms, sequence = ms + 1, 0
  end
  if now > ms then
    ms, sequence = now, 0
  end
  local function place(index) -- of the entry that is the index-th of those kept, from 1
    local at = sequence + index - 1
    return ms + math.floor(at / SEQUENCES), at % SEQUENCES * STEP + partition
  end

  local entries, some_heads, some_payloads, events, last_event = kept(count, heads, payloads, has_commands, repeats)
  local reply = { ms, sequence * STEP + partition }
  local fields, index = {}, 0
  for i = 1, (#key_bytes > 0 or repeats) and count or 0 do
    if not (repeats and repeats[i]) then
      index = index + 1
      if by_index[i] then
        local at_ms, at_low = place(index)
        local own = tail + index - 1
        values[i] = struct.pack('>I6I3I1I6', at_ms, at_low, history * HISTORY + math.floor(own / 2 ^ 48), own % 2 ^ 48)
        fields[#fields + 1] = by_index[i]
        fields[#fields + 1] = values[i]
      end
    else
      reply[#reply + 1] = i - 1
      reply[#reply + 1] = values[same[i] or i]
    end
  end
  if entries == 0 then
    redis.call('HINCRBY', keys[1], 'repeats', 1) -- a write, so that WAITAOF waits for the first one's
    return reply
  end

  last_ms, last_low = place(entries)
  if #fields > 0 then
    local ring = ring_for(keys, state, now, window, most_keys)
    in_portions('HSET', keys[4 + ring], fields)
    redis.call('HSET', keys[1], 'newest' .. ring, text(last_ms))
  end
  local last, event = packed(last_ms, last_low), NO_POSITION
  if last_event > 0 then
    event = packed(place(last_event))
  end
  local first_tail = struct.pack('>I1I6', history * HISTORY + math.floor(tail / 2 ^ 48), tail % 2 ^ 48)
  local head = struct.pack('>I4', entries) .. packed(ms, sequence * STEP + partition) .. first_tail
  redis.call('HSET', keys[3], last, head .. some_heads .. some_payloads)
  redis.call('ZADD', keys[2], 0, last .. event .. struct.pack('>I4I4I4', entries, events, #some_payloads))
  redis.call('HSET', keys[1], 'ms', text(last_ms), 'low', text(last_low), 'bytes', text(number(state.bytes) + #some_payloads),
    'events', text(number(state.events) + events))
  return reply
end

local function trim(keys, args)
  local state, lost = state_of(keys[1], args[1])
  if not state then
    return lost
  end
  local now, window, upto, most = now_of(args[2]), tonumber(args[3]), args[4], tonumber(args[5])
  for ring = 0, RING - 1 do
    local newest = state['newest' .. ring]
    if newest and number(newest) < now - window then
      forget_ring(keys, ring)
    end
  end
  local members = redis.call('ZRANGE', keys[2], '-', '[' .. upto, 'BYLEX', 'LIMIT', 0, most)
  local gone, bytes, events, event, positions = 0, 0, 0, nil, {}
  for i, member in ipairs(members) do
    local entries, some_events, size = struct.unpack('>I4I4I4', member, 19)
    gone, events, bytes = gone + entries, events + some_events, bytes + size
    positions[i] = string.sub(member, 1, 9)
    if some_events > 0 then
      event = string.sub(member, 10, 18)
    end
  end
  if #members > 0 then
    redis.call('ZREM', keys[2], unpack(members))
    redis.call('HDEL', keys[3], unpack(positions))
    redis.call('HSET', keys[1], 'bytes', text(number(state.bytes) - bytes), 'events', text(number(state.events) - events))
    if event then
      redis.call('HSET', keys[1], 'trimmed_event', event)
    end
  end
  return gone
end

-- Put a chunk in the place of one that is still held, with fewer bytes of payload.
local function replace(keys, args)
  local state, lost = state_of(keys[1], args[1])
  if not state then
    return lost
  end
  local was, is, chunk = args[2], args[3], args[4]
  if redis.call('ZREM', keys[2], was) == 0 then
    return 0
  end
  redis.call('ZADD', keys[2], 0, is)
  redis.call('HSET', keys[3], string.sub(is, 1, 9), chunk)
  local fewer = struct.unpack('>I4', was, 27) - struct.unpack('>I4', is, 27)
  redis.call('HSET', keys[1], 'bytes', text(number(state.bytes) - fewer))
  return 1
end

-- Learn keys, given flat with their values, as far as there is room; the newest come first.
local function learn(keys, args)
  local state, lost = state_of(keys[1], args[1])
  if not state then
    return lost
  end
  local now, most, done = now_of(args[2]), tonumber(args[3]), args[4] == '1'
  local ring = number(state.ring)
  if #args > 4 and redis.call('HLEN', keys[4 + ring]) < most then
    in_portions('HSET', keys[4 + ring], { unpack(args, 5) })
    local upto = state.lost_upto and struct.unpack('>I6', state.lost_upto) or now
    redis.call('HSET', keys[1], 'ring', ring, 'newest' .. ring, text(math.max(upto, number(state['newest' .. ring]))))
    if not state['began' .. ring] then
      redis.call('HSET', keys[1], 'began' .. ring, text(now))
    end
  end
  if done then
    redis.call('HDEL', keys[1], 'lost_after', 'lost_upto')
  end
  return 0
end

-- Forget keys, given flat with their values, unless they were given anew since.
local function forget(keys, args)
  local state, lost = state_of(keys[1], args[1])
  if not state then
    return lost
  end
  for i = 2, #args, 2 do
    for ring = 0, RING - 1 do
      if redis.call('HGET', keys[4 + ring], args[i]) == args[i + 1] then
        redis.call('HDEL', keys[4 + ring], args[i])
      end
    end
  end
  return 0
end

-- A rate limit: a list of the times of the last uses. It has no log, and so no id.
local function spend(keys, args)
  local window, most, now = tonumber(args[1]), tonumber(args[2]), now_of('')
  local first = redis.call('LINDEX', keys[1], 0)
  while first and tonumber(first) <= now - window do
    redis.call('LPOP', keys[1])
    first = redis.call('LINDEX', keys[1], 0)
  end
  local used = redis.call('LLEN', keys[1])
  if used >= most then
    return { 0, used, math.min(window, tonumber(first) + window - now) }
  end
  redis.call('RPUSH', keys[1], text(now))
  redis.call('PEXPIRE', keys[1], text(window))
  return { 1, used + 1, math.min(window, tonumber(first or now) + window - now) }
end

redis.register_function('@LIBRARY@_spend', spend)
redis.register_function('@LIBRARY@_open', open)
redis.register_function('@LIBRARY@_append', append)
-- These make room, or are needed to: they run on a server that has none.
redis.register_function { function_name = '@LIBRARY@_trim', callback = trim, flags = { 'allow-oom' } }
redis.register_function { function_name = '@LIBRARY@_replace', callback = replace, flags = { 'allow-oom' } }
redis.register_function { function_name = '@LIBRARY@_forget', callback = forget, flags = { 'allow-oom' } }
redis.register_function('@LIBRARY@_learn', learn)
