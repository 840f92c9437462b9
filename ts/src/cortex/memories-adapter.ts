import { Adapter, type Level } from './adapter.js';
import { type MemoryFilter, memoryQuery } from './filter.js';
import type { MemoriesFold } from './memories-fold.js';
import type { Memory } from './memories-model.js';

/** Writes and queries of memories, the same at every level. `Int`: what 64-bit arguments may be. */
export abstract class MemoryOperations<Written, Int extends bigint | number = bigint> extends Adapter<
  Memory,
  MemoryFilter,
  MemoriesFold,
  Written
> {
  /** @internal */
  constructor(fold: MemoriesFold, level: Level<Written>) {
    super(fold, level, memoryQuery);
  }

  /** Adds a memory; of a known one it replaces content, tags and source and keeps pin and createdNs. */
  store(id: Int, content: string, tags: string[], source: string, nowNs: Int): Written {
    return this.writing(() => this.fold.store(id, content, tags, source, nowNs));
  }

  /** Replaces the tags; an unknown id changes nothing. */
  retag(id: Int, tags: string[], nowNs: Int): Written {
    return this.writing(() => this.fold.retag(id, tags, nowNs));
  }

  /** Pins; an unknown id changes nothing. */
  pin(id: Int, nowNs: Int): Written {
    return this.writing(() => this.fold.pin(id, nowNs));
  }

  /** Takes the pin away; an unknown id changes nothing. */
  unpin(id: Int, nowNs: Int): Written {
    return this.writing(() => this.fold.unpin(id, nowNs));
  }

  /** Removes; an unknown id changes nothing. */
  delete(id: Int): Written {
    return this.writing(() => this.fold.delete(id));
  }

  /** Memories that meet the filter, as new objects; ids ascend unless `orderBy` says otherwise. */
  listMemories(filter?: MemoryFilter | null): Memory[] {
    return this.listing(filter);
  }
}
