/** Leaving out events that a producer stored twice (11 §7): their dedup id was seen before. */
import { wrongType } from '../errors.js';
import { RedisStreamDedup } from '../redis-dedup.js';
import type { StoredEvent } from '../types.js';

/** Memory for the option `dedup` of `poll` and `subscribe`; undefined when it is off. */
export function dedupMemory(option: boolean | number | undefined | null): RedisStreamDedup | undefined {
  if (option === undefined || option === null || option === false) return undefined;
  if (option === true) return new RedisStreamDedup();
  if (typeof option !== 'number') throw wrongType('dedup', 'dedup', option, 'a boolean or a number', 'NumberExpected');
  return new RedisStreamDedup(option);
}

/** The events that were not seen before. Those without an id (of other producers) always pass. */
export function unseen<E extends StoredEvent>(events: E[], memory: RedisStreamDedup | undefined): E[] {
  if (!memory) return events;
  return events.filter(({ dedupId }) => dedupId === undefined || !memory.isDuplicate(dedupId));
}
