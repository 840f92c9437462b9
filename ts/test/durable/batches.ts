import type { Batch, Transport, TransportContext } from '../../src/bus/transport.js';

/** Packs events into a batch as the bus hands it to a transport. */
export function batch(
  shardId: number,
  sequenceStart: number | bigint,
  events: readonly (string | Uint8Array)[],
  { nonce = 0xabcn, timestamps }: { nonce?: bigint; timestamps?: readonly (number | bigint)[] } = {},
): Batch {
  const bytes = events.map((event) => (typeof event === 'string' ? Buffer.from(event) : event));
  const ends = new Uint32Array(bytes.length);
  let end = 0;
  bytes.forEach((event, i) => {
    end += event.length;
    ends[i] = end;
  });
  return {
    shardId,
    sequenceStart: BigInt(sequenceStart),
    nonce,
    count: bytes.length,
    data: Buffer.concat(bytes),
    ends,
    timestamps: BigUint64Array.from(bytes, (_, i) => BigInt(timestamps?.[i] ?? i)),
  };
}

/** Events `{"n":from}` up to, without, `to`. */
export function numbered(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, i) => `{"n":${from + i}}`);
}

/** Starts a transport, collecting its warnings. */
export async function started<T extends Transport>(transport: T, shards = 2, warnings: string[] = []): Promise<T> {
  const context: TransportContext = { shards, timeoutMs: 30_000, warn: (text) => warnings.push(text) };
  await transport.init(context);
  return transport;
}

/** Everything a shard holds, page by page. */
export async function readAll(transport: Transport, shard: number, page = 1000): Promise<string[]> {
  const events: string[] = [];
  let position: string | undefined;
  for (;;) {
    const { events: found, nextId, hasMore } = await transport.pollShard(shard, position, page);
    for (const { raw } of found) events.push(Buffer.from(raw).toString());
    position = nextId ?? position;
    if (!hasMore) return events;
  }
}

/** Sends a batch as the bus does: again after transient failures. Returns the number of attempts. */
export async function deliver(transport: Transport, sent: Batch): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    try {
      await transport.onBatch(sent);
      return attempt;
    } catch (error) {
      if (!(error as { retryable?: boolean }).retryable) throw error;
      await new Promise((resolve) => setTimeout(resolve, Math.min(20 * attempt, 500)));
    }
  }
}

let count = 0;

/** A prefix that no other test uses. */
export function uniquePrefix(): string {
  count += 1;
  return `mrtest-${process.pid}-${Date.now().toString(36)}-${count}`;
}

/** Numbers in [0, 1) that are the same in every run. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
