-- What both scripts begin with. KEYS[1] is the bucket, a hash; ARGV[1] is what is asked, in JSON.
-- Moments and spans are whole microseconds of this server's clock, exact in doubles until 2255.
--
--   slot:ID            FREE, or FREE PROCESS SERIAL while it is held: when it is free again, who
--                      holds it, and which ask of that process won it
--   queue:PROCESS      SINCE DUE EXPIRES: who waits since when, and when it was told to ask again
--   claim:PROCESS      COUNT PERIOD PACE EXPIRES SERIAL: the limit a process wants (PERIOD in
--                      seconds), its last ask
--   count period pace  the limit in force: what keeps all claims that have not expired
--   frozen paced       before these moments nobody gets a slot
--   sent refused       requests since the bucket was made
--   clock offset       the last moment seen, and by how much the server's clock went back so far

local ask = cjson.decode(ARGV[1])
local slots, queue, claims, field = {}, {}, {}, {}

local function text(number) return string.format('%.0f', number) end
local function set(...) redis.call('HSET', KEYS[1], ...) end

local hash = redis.call('HGETALL', KEYS[1])
for i = 1, #hash, 2 do
  local kind, name = string.match(hash[i], '^(%a+):(.+)$')
  if not kind then
    field[hash[i]] = tonumber(hash[i + 1])
  else
    local words = {}
    for word in string.gmatch(hash[i + 1], '%S+') do words[#words + 1] = word end
    if kind == 'slot' then
      slots[#slots + 1] = {
        id = name, free = tonumber(words[1]), holder = words[2], serial = tonumber(words[3])
      }
    elseif kind == 'queue' then
      queue[#queue + 1] = {
        name = name,
        since = tonumber(words[1]), due = tonumber(words[2]), expires = tonumber(words[3])
      }
    else
      claims[name] = {
        count = tonumber(words[1]), period = tonumber(words[2]), pace = tonumber(words[3]),
        expires = tonumber(words[4]), serial = tonumber(words[5])
      }
    end
  end
end

-- A clock that was set back must not hold slots for as long: time goes on from where it was.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2]) + (field.offset or 0)
if now < (field.clock or 0) then
  set('offset', text((field.offset or 0) + field.clock - now))
  now = field.clock
end

local count, period, pace = field.count, field.period, field.pace
local frozen, paced = field.frozen or 0, field.paced or 0

local function put(slot)
  local held = slot.holder and ' ' .. slot.holder .. ' ' .. text(slot.serial) or ''
  set('slot:' .. slot.id, text(slot.free) .. held)
end

local function put_waiter(waiter)
  set('queue:' .. waiter.name,
    text(waiter.since) .. ' ' .. text(waiter.due) .. ' ' .. text(waiter.expires))
end

local function in_order()
  table.sort(slots, function(a, b)
    return a.free < b.free or (a.free == b.free and a.id < b.id)
  end)
  table.sort(queue, function(a, b)
    return a.since < b.since or (a.since == b.since and a.name < b.name)
  end)
end

-- The highest rate that keeps all limits {count, seconds}, with the largest burst that reaches it,
-- as `strictest` in ratelimit/bucket.py says and reckons: in seconds, so that it rounds alike.
local function strictest(limits)
  local first, same = limits[1], true
  local best, burst, least = 1, 0, first[1]
  for _, limit in ipairs(limits) do
    same = same and limit[1] == first[1] and limit[2] == first[2]
    burst, least = math.max(burst, limit[2] / limit[1]), math.min(least, limit[1])
  end
  if same then return first[1], first[2] end
  local span = burst
  for n = 2, least do
    local window = 0
    for _, limit in ipairs(limits) do
      window = math.max(window, limit[2] / math.floor(limit[1] / n))
    end
    if n / window >= best / span then best, span = n, window end
  end
  return best, span
end

local function gate() return pace > 0 and math.max(frozen, paced) or frozen end

-- When whoever has so many others before it gets a slot: at the latest, which is for sure if those
-- who hold one are alive; or, hopefully, if all that is held comes back about now.
local function due_of(before, hopefully)
  local frees = {}
  for place, slot in ipairs(slots) do
    frees[place] = slot.free
    if hopefully and slot.holder then frees[place] = math.min(slot.free, now + period) end
  end
  table.sort(frees)
  local round = math.floor(before / #slots)
  local due = math.max(frees[before % #slots + 1], now) + round * period
  return math.max(due, gate() + before * pace * period / count)
end

-- Whoever waits and may ask earlier than it was told is told so.
local function tell()
  if #slots == 0 then return end
  in_order()
  for place, waiter in ipairs(queue) do
    local due = due_of(place - 1)
    if due < waiter.due - 1000 and waiter.expires >= now then
      waiter.due = due
      put_waiter(waiter)
      redis.call('PUBLISH', 'okx-funding:to:' .. waiter.name, text(due - now) .. ' ' .. KEYS[1])
    end
  end
end
