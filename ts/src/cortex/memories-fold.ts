import { wrongType } from '../errors.js';
import { Dispatch } from './event.js';
import { Fold } from './fold.js';
import type { EventLog } from './log.js';
import { type MemoriesModel, type Memory, writeTags } from './memories-model.js';
import type { Start } from './snapshot.js';
import { high, low, u64 } from './u64.js';

function checkText(operation: string, argument: string, value: unknown): void {
  if (typeof value !== 'string') throw wrongType(operation, argument, value, 'a string', 'StringExpected');
}

function checkTags(operation: string, tags: unknown): void {
  if (!Array.isArray(tags)) throw wrongType(operation, 'tags', tags, 'an array of strings', 'ArrayExpected');
  for (const tag of tags) checkText(operation, 'tags', tag);
}

/** Log and fold of the memories: every write appends its event and is folded before it returns. */
export class MemoriesFold extends Fold<Memory, MemoriesModel> {
  constructor(log: EventLog, origin: bigint, model: MemoriesModel, start: Start) {
    super(log, origin, model, start);
  }

  /** Adds a memory, or replaces content, tags and source of a known one, which keeps its pin and createdNs. */
  store(id: bigint | number, content: string, tags: readonly string[], source: string, nowNs: bigint | number): bigint {
    const key = u64(id);
    const now = u64(nowNs);
    checkText('store', 'content', content);
    checkTags('store', tags);
    checkText('store', 'source', source);
    const tail = this.begin('store');
    tail.u64(low(key), high(key));
    const ownContent = tail.string(content);
    const ownTags = writeTags(tags, tail);
    const ownSource = tail.string(source);
    tail.u64(low(now), high(now));
    const seq = this.write('store', Dispatch.MemoryStored);
    if (this.due) {
      this.model.stored(low(key), high(key), ownContent, ownTags, ownSource, low(now), high(now));
      this.wrote(seq);
    }
    return seq;
  }

  /** Replaces the tags. */
  retag(id: bigint | number, tags: readonly string[], nowNs: bigint | number): bigint {
    const key = u64(id);
    const now = u64(nowNs);
    checkTags('retag', tags);
    const tail = this.begin('retag');
    tail.u64(low(key), high(key));
    const ownTags = writeTags(tags, tail);
    tail.u64(low(now), high(now));
    const seq = this.write('retag', Dispatch.MemoryRetagged);
    if (this.due) {
      this.model.retagged(low(key), high(key), ownTags, low(now), high(now));
      this.wrote(seq);
    }
    return seq;
  }

  /** Pins a memory. */
  pin(id: bigint | number, nowNs: bigint | number): bigint {
    return this.#setPin('pin', Dispatch.MemoryPinned, id, nowNs, true);
  }

  /** Takes the pin away. */
  unpin(id: bigint | number, nowNs: bigint | number): bigint {
    return this.#setPin('unpin', Dispatch.MemoryUnpinned, id, nowNs, false);
  }

  #setPin(operation: string, dispatch: number, id: bigint | number, nowNs: bigint | number, pinned: boolean): bigint {
    return this.writeStamped(operation, dispatch, id, nowNs, (lo, hi, nowLo, nowHi) => {
      this.model.pinned(lo, hi, pinned, nowLo, nowHi);
    });
  }

  /** Removes a memory. */
  delete(id: bigint | number): bigint {
    return this.writeDeleted(Dispatch.MemoryDeleted, id);
  }
}
