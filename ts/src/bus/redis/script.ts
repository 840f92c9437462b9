/**
 * The server-side script that makes a batch exactly once (11 §4.2).
 *
 * The sequence key holds the number behind the last event that this producer appended to this stream. Events below it
 * are skipped, so that an attempt which happened although nobody heard of it is not repeated by the next one.
 */
import { createHash } from 'node:crypto';

// KEYS: stream, sequence key. ARGV: number of the first event, expiry of the sequence key in seconds, MAXLEN or '',
// '1' if the events before the first one must already be there, then record and id of each event.
export const APPEND_SCRIPT = `local stream, sequence = KEYS[1], KEYS[2]
local first, maxlen = tonumber(ARGV[1]), ARGV[3]
local reached = tonumber(redis.call('GET', sequence) or '0')
if ARGV[4] == '1' and reached < first then return {0, 0, 'GAP'} end
local count = (#ARGV - 4) / 2
local skipped = reached - first
if skipped < 0 then skipped = 0 elseif skipped > count then skipped = count end
local pcall, args, type = redis.pcall, ARGV, type
local appended, failure = 0, ''
for i = 5 + 2 * skipped, #args, 2 do
  local id
  if maxlen == '' then
    id = pcall('XADD', stream, '*', 'd', args[i], 'dedup_id', args[i + 1])
  else
    id = pcall('XADD', stream, 'MAXLEN', '~', maxlen, '*', 'd', args[i], 'dedup_id', args[i + 1])
  end
  if type(id) == 'table' then failure = id.err break end
  appended = appended + 1
end
if appended > 0 then
  redis.call('SET', sequence, string.format('%.0f', first + skipped + appended), 'EX', ARGV[2])
end
return {skipped, appended, failure}`;

/** Name under which a server keeps the script. */
export const APPEND_SHA = createHash('sha1').update(APPEND_SCRIPT).digest('hex');

/** What the script answers when events before a later part of a batch are missing. */
export const GAP = 'GAP';

/** Key of the number that a producer reached in a stream; in the same cluster slot as the stream. */
export function sequenceKey(stream: string, nonceHex: string): string {
  const tagged = /\{[^}]+\}/.test(stream);
  return tagged ? `${stream}:seq:${nonceHex}` : `{${stream}}:seq:${nonceHex}`;
}
