/** Arrived events: for `poll`, and for any number of iterators. */

import { readPackets } from './batch.js';
import type { MeshDriver } from './driver.js';
import { tell } from './listeners.js';

/** One event as an iterator gives it. */
export interface MeshEvent {
  /** Who sent it. */
  readonly peerNodeId: bigint;
  /** On which stream. */
  readonly streamId: bigint;
  /** Sequence of its packet in the stream. */
  readonly sequence: bigint;
  /** Its place in the packet. */
  readonly index: number;
  /** Low 16 bits of the channel's hash, low 32 of the origin's, on channel publishes. */
  readonly publish?: { readonly channelHash: number; readonly originHash: number };
  /** The channel, when this node subscribed to it at the sender. */
  readonly channel?: string;
  /** The event. */
  readonly bytes: Uint8Array;
}

/** Which events an iterator wants; absent = all. */
export interface EventFilter {
  /** Only from this node. */
  readonly peer?: bigint;
  /** Only on this stream. */
  readonly streamId?: bigint;
  /** Ends the iteration. */
  readonly signal?: AbortSignal;
}

/** A filter of the package's own iterators. */
interface Selection extends EventFilter {
  /** Only events of subscribed channels: of this one, or of those that the function accepts. */
  readonly channel?: string | ((name: string) => boolean);
}

interface Reader {
  readonly filter: Selection;
  readonly queue: MeshEvent[];
  notify: () => void;
  ended: boolean;
  /** Takes it off the list, and its listener off the signal. */
  leave: () => void;
  /** Takes events in batches instead of an iterator. */
  readonly callback?: (events: MeshEvent[]) => void;
}

/** Events an iterator may hold before no more are taken from the engine. */
const READER_LIMIT = 4096;
/** The same for events that no iterator wants. */
const UNREAD_LIMIT = 65_536;
const BATCH = 4096;
/** The engine ends a batch not far above this many bytes; a shorter one has all that there was. */
const LARGE = 4 << 20;

function wants({ channel, peer, streamId }: Selection, event: MeshEvent): boolean {
  return (
    (peer === undefined || peer === event.peerNodeId) &&
    (streamId === undefined || streamId === event.streamId) &&
    (channel === undefined ||
      (typeof channel === 'string' ? channel === event.channel : event.channel !== undefined && channel(event.channel)))
  );
}

/** Takes packets from the engine when somebody wants their events. */
export class Inbox {
  readonly #driver: MeshDriver;
  readonly #readers = new Set<Reader>();
  /** Taken from the engine and not yet polled. */
  #unread: MeshEvent[] = [];
  #at = 0;
  #closed = false;
  /** The subscribed channel of a publish; `undefined` when it was not asked for. */
  channelOf: (tag: number) => string | undefined = () => undefined;

  constructor(driver: MeshDriver) {
    this.#driver = driver;
  }

  /** Whether the engine may have had more than the last `#take` asked for. */
  #more = false;

  #take(most: number): MeshEvent[] {
    const batch = this.#driver.raw.takeDeliveries(most);
    this.#driver.flush();
    const out: MeshEvent[] = [];
    let taken = 0;
    for (const packet of readPackets(batch)) {
      const { peer: peerNodeId, streamId, sequence, events } = packet;
      taken += events.length;
      if (!packet.isPublish) {
        let index = 0;
        for (const bytes of events) out.push({ peerNodeId, streamId, sequence, index: index++, bytes });
        continue;
      }
      const channel = packet.channel === 0 ? undefined : this.channelOf(packet.channel);
      const publish = { channelHash: packet.channelHash, originHash: packet.originHash };
      const of = channel === undefined ? { publish } : { publish, channel };
      events.forEach((bytes, index) => {
        out.push({ peerNodeId, streamId, sequence, index, ...of, bytes });
      });
    }
    this.#more = taken >= most || batch.length >= LARGE;
    return out;
  }

  /** Removes up to `limit` events, oldest first. Never waits. */
  poll(limit: number): MeshEvent[] {
    const out: MeshEvent[] = [];
    while (out.length < limit) {
      if (this.#at >= this.#unread.length) {
        this.#unread = this.#closed ? [] : this.#take(limit - out.length);
        this.#at = 0;
        if (this.#unread.length === 0) break;
      }
      const end = Math.min(this.#unread.length, this.#at + limit - out.length);
      for (; this.#at < end; this.#at++) out.push(this.#unread[this.#at] as MeshEvent);
    }
    // Iterators may have waited for room.
    if (this.#readers.size > 0) queueMicrotask(() => this.pump());
    return out;
  }

  /** Gives what has arrived to the iterators; what none of them wants stays for `poll`. */
  pump(): void {
    while (this.#readers.size > 0 && !this.#closed) {
      for (const reader of this.#readers) if (reader.queue.length >= READER_LIMIT) return;
      if (this.#unread.length - this.#at >= UNREAD_LIMIT) return;
      const events = this.#take(BATCH);
      for (const event of events) if (!this.#offer(event)) this.#unread.push(event);
      for (const reader of this.#readers) {
        if (reader.queue.length === 0) continue;
        if (reader.callback) tell(reader.callback, reader.queue.splice(0));
        else reader.notify();
      }
      // What comes now is told anew.
      if (!this.#more) return;
    }
  }

  #offer(event: MeshEvent): boolean {
    let wanted = false;
    for (const reader of this.#readers) {
      if (wants(reader.filter, event)) {
        reader.queue.push(event);
        wanted = true;
      }
    }
    return wanted;
  }

  #enter(reader: Reader): void {
    const unread = this.#unread.slice(this.#at);
    for (const event of unread) if (wants(reader.filter, event)) reader.queue.push(event);
    this.#unread = unread.filter((event) => !wants(reader.filter, event));
    this.#at = 0;
    this.#readers.add(reader);
  }

  /** Calls the callback with events in batches, as they arrive; returns the function that ends it. */
  onEvents(callback: (events: MeshEvent[]) => void, filter: Selection = {}): () => void {
    const end = () => {
      this.#readers.delete(reader);
      filter.signal?.removeEventListener('abort', end);
    };
    const reader: Reader = { filter, queue: [], notify: () => {}, ended: false, leave: end, callback };
    if (filter.signal?.aborted) return () => {};
    filter.signal?.addEventListener('abort', end, { once: true });
    this.#enter(reader);
    // No callback runs before this method has returned.
    queueMicrotask(() => {
      if (reader.queue.length > 0 && this.#readers.has(reader)) tell(callback, reader.queue.splice(0));
      this.pump();
    });
    return end;
  }

  /** Events from the first `next` on (and those that nobody has taken), as they arrive. */
  async *events(filter: Selection = {}): AsyncGenerator<MeshEvent, void, void> {
    yield* this.open(filter);
  }

  /** The same from this call on: its signal, or running to the end, is what ends it. */
  open(filter: Selection = {}): AsyncGenerator<MeshEvent, void, void> {
    const reader: Reader = {
      filter,
      queue: [],
      notify: () => {},
      ended: this.#closed || filter.signal?.aborted === true,
      leave: () => {
        this.#readers.delete(reader);
        filter.signal?.removeEventListener('abort', abort);
      },
    };
    const abort = () => {
      reader.ended = true;
      this.#readers.delete(reader);
      reader.notify();
    };
    if (!reader.ended) {
      filter.signal?.addEventListener('abort', abort, { once: true });
      this.#enter(reader);
    }
    return this.#read(reader);
  }

  async *#read(reader: Reader): AsyncGenerator<MeshEvent, void, void> {
    try {
      for (;;) {
        this.pump();
        while (reader.queue.length > 0 && !reader.ended) {
          const batch = reader.queue.splice(0);
          for (const event of batch) yield event;
        }
        if (reader.ended) break;
        await new Promise<void>((resolve) => {
          reader.notify = resolve;
          if (reader.queue.length > 0 || reader.ended) resolve();
        });
      }
    } finally {
      reader.leave();
    }
  }

  /** Ends all iterations. What was taken can still be polled. */
  close(): void {
    this.#closed = true;
    for (const reader of this.#readers) {
      reader.ended = true;
      reader.leave();
      reader.notify();
    }
  }
}
