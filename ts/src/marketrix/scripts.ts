/** What must happen in Redis in one step: Lua scripts, sent by their hash. */
import { createHash } from 'node:crypto';

/** A script and its hash. */
export interface Script {
  readonly text: string;
  readonly sha: string;
}

function script(text: string): Script {
  return { text, sha: createHash('sha1').update(text).digest('hex') };
}

/** Milliseconds since the epoch by the clock of Redis. */
const NOW = `local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
`;

/**
 * Writes a registration. KEYS: record[, index[, services]], then the keys of topics.
 * ARGV: record as text, ttl, instance, service, channel, startedAt, '1' if changed, number of leading keys,
 * event for a new record, event for a changed one.
 * Gives {1, now} or {0, now} when another process lives under this name.
 */
export const REGISTER = script(`${NOW}
local ttl = tonumber(ARGV[2])
local lead = tonumber(ARGV[8])
local old = redis.call('GET', KEYS[1])
if old then
  local ok, record = pcall(cjson.decode, old)
  if ok and type(record) == 'table' and type(record.startedAt) == 'number'
    and record.startedAt ~= tonumber(ARGV[6]) then
    return {0, now}
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ttl)
if lead >= 2 then
  redis.call('ZADD', KEYS[2], now + ttl, ARGV[3])
  if redis.call('PTTL', KEYS[2]) < ttl * 10 then redis.call('PEXPIRE', KEYS[2], ttl * 10) end
end
if lead >= 3 then
  local latest = redis.call('ZSCORE', KEYS[3], ARGV[4])
  if not latest or tonumber(latest) < now + ttl then redis.call('ZADD', KEYS[3], now + ttl, ARGV[4]) end
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
  if redis.call('PTTL', KEYS[3]) < ttl * 10 then redis.call('PEXPIRE', KEYS[3], ttl * 10) end
end
for i = lead + 1, #KEYS do
  redis.call('ZADD', KEYS[i], now + ttl, ARGV[4] .. '/' .. ARGV[3])
  if redis.call('PTTL', KEYS[i]) < ttl * 10 then redis.call('PEXPIRE', KEYS[i], ttl * 10) end
end
if not old then redis.call('PUBLISH', ARGV[5], ARGV[9])
elseif ARGV[7] == '1' then redis.call('PUBLISH', ARGV[5], ARGV[10]) end
return {1, now}`);

/**
 * Removes a registration. KEYS as REGISTER. ARGV: startedAt, instance, service, channel, number of leading keys, event.
 * A record that another process wrote under this name stays.
 */
export const UNREGISTER = script(`
local old = redis.call('GET', KEYS[1])
if old then
  local ok, record = pcall(cjson.decode, old)
  if ok and type(record) == 'table' and type(record.startedAt) == 'number'
    and record.startedAt ~= tonumber(ARGV[1]) then
    return 0
  end
end
local lead = tonumber(ARGV[5])
redis.call('DEL', KEYS[1])
if lead >= 2 then redis.call('ZREM', KEYS[2], ARGV[2]) end
if lead >= 3 and redis.call('EXISTS', KEYS[2]) == 0 then redis.call('ZREM', KEYS[3], ARGV[3]) end
for i = lead + 1, #KEYS do redis.call('ZREM', KEYS[i], ARGV[3] .. '/' .. ARGV[2]) end
redis.call('PUBLISH', ARGV[4], ARGV[6])
return 1`);

/** Live instances of a service: KEYS: index. Gives now, then instance, expiry, instance, expiry … */
export const LIVE = script(`${NOW}
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local live = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf', 'WITHSCORES')
table.insert(live, 1, tostring(now))
return live`);

/**
 * Writes a shared value. KEYS: value. ARGV: JSON of the value, by, ttl or '', expected version or '', channel, JSON of
 * the key. Gives {1, version} or {0, current version}. The value's JSON is passed through as text: decoding and
 * encoding it here would change numbers and empty arrays.
 */
export const DATA_SET = script(`${NOW}
local version = 0
local old = redis.call('GET', KEYS[1])
if old then
  local ok, entry = pcall(cjson.decode, old)
  if ok and type(entry) == 'table' and type(entry.ver) == 'number' then version = entry.ver end
end
if ARGV[4] ~= '' and tonumber(ARGV[4]) ~= version then return {0, version} end
version = version + 1
local tail = ',"ver":' .. string.format('%d', version) .. ',"by":' .. ARGV[2] .. ',"at":' .. string.format('%d', now) .. '}'
if ARGV[3] == '' then redis.call('SET', KEYS[1], '{"v":' .. ARGV[1] .. tail)
else redis.call('SET', KEYS[1], '{"v":' .. ARGV[1] .. tail, 'PX', ARGV[3]) end
redis.call('PUBLISH', ARGV[5], '{"type":"set","key":' .. ARGV[6] .. ',"v":' .. ARGV[1] .. tail)
return {1, version}`);

/** Deletes a shared value. KEYS: value. ARGV: by, expected version or '', channel, JSON of the key. As DATA_SET. */
export const DATA_DEL = script(`${NOW}
local old = redis.call('GET', KEYS[1])
local version = 0
if old then
  local ok, entry = pcall(cjson.decode, old)
  if ok and type(entry) == 'table' and type(entry.ver) == 'number' then version = entry.ver end
end
if ARGV[2] ~= '' and tonumber(ARGV[2]) ~= version then return {0, version} end
if not old then return {1, 0} end
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', ARGV[3], '{"type":"del","key":' .. ARGV[4] .. ',"ver":' .. string.format('%d', version)
  .. ',"by":' .. ARGV[1] .. ',"at":' .. string.format('%d', now) .. '}')
return {1, version}`);
