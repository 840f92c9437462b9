import { describe, expect, it } from 'vitest';
import { RedexError } from '../../src/errors.js';
import { CoreRedex, MemoryStorage, Redex, type RedexEvent, type RedexFile } from '../../src/redex/index.js';

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (event: RedexEvent | null | undefined) => (event ? new TextDecoder().decode(event.payload) : event);
const texts = (events: RedexEvent[]) => events.map(text);
const END = 2n ** 64n - 1n;
const errorOf = (work: () => unknown) => {
  try {
    work();
  } catch (error) {
    return error as RedexError;
  }
  throw new Error('nothing was thrown');
};

let storages = 0;
function persistent(storage = new MemoryStorage()) {
  const persistentDir = `/behaviour-${++storages}`;
  const open = () => new Redex({ persistentDir, storage });
  return { open, storage, persistentDir };
}

const homes: [string, () => { open: () => RedexFile; close: () => Promise<void> }][] = [
  [
    'in memory',
    () => {
      const redex = new Redex();
      return { open: () => redex.openFile('a/b'), close: () => redex.close() };
    },
  ],
  [
    'on storage',
    () => {
      const redex = persistent().open();
      return { open: () => redex.openFile('a/b', { persistent: true }), close: () => redex.close() };
    },
  ],
];

it('a tail ends where its manager closed the log, though another one appends on', async () => {
  const { open } = persistent();
  const [one, two] = [open(), open()];
  const [first, second] = [one, two].map((redex) => redex.openFile('a/b', { persistent: true })) as [
    RedexFile,
    RedexFile,
  ];
  first.append(bytes('before'));
  const idle = (await first.tail())[Symbol.asyncIterator]();
  const waiting = (await first.tail(1n))[Symbol.asyncIterator]().next();
  await one.close();
  second.append(bytes('after'));
  expect(text((await idle.next()).value)).toBe('before');
  expect([await idle.next(), await waiting]).toEqual(Array(2).fill({ value: undefined, done: true }));
  expect(texts(second.readRange(0n, END))).toEqual(['before', 'after']);
  await two.close();
});

it('a tail ends by its signal, whether it waits or not', async () => {
  const file = new Redex().openFile('a/b');
  file.append(bytes('x'));
  const control = new AbortController();
  const open = async (from: bigint) => (await file.tail(from, { signal: control.signal }))[Symbol.asyncIterator]();
  const [idle, other] = [await open(0n), await open(1n)];
  const waiting = other.next();
  control.abort();
  expect(await Promise.all([waiting, idle.next(), (await open(0n)).next()])).toEqual(
    Array(3).fill({ value: undefined, done: true }),
  );
});

describe.each(homes)('a log %s', (_, make) => {
  it('gives out sequences from 0 and reads back what was appended', async () => {
    const { open, close } = make();
    const file = open();
    expect(file.append(bytes('one'))).toBe(0n);
    expect(file.appendBatch([bytes('two'), bytes(''), bytes('exactly8')])).toBe(1n);
    expect(file.appendBatch([])).toBeNull();
    expect(file.len()).toBe(4n);
    expect(file.nextSeq()).toBe(4n);
    const events = file.readRange(0n, END);
    expect(texts(events)).toEqual(['one', 'two', '', 'exactly8']);
    expect(events.map((event) => event.seq)).toEqual([0n, 1n, 2n, 3n]);
    expect(events.every((event) => !event.isInline)).toBe(true);
    expect(events[2]?.checksum).toBe(0x08d394c2);
    expect(texts(file.readRange(1n, 3n))).toEqual(['two', '']);
    expect(file.readRange(3n, 1n)).toEqual([]);
    expect(text(file.readOne(3n))).toBe('exactly8');
    expect(file.readOne(4n)).toBeNull();
    await close();
  });

  it('copies on the way in and on the way out', async () => {
    const { open, close } = make();
    const file = open();
    const payload = bytes('mine');
    file.append(payload);
    payload.fill(0);
    file.readRange(0n, 1n)[0]?.payload.fill(0);
    expect(texts(file.readRange(0n, 1n))).toEqual(['mine']);
    await close();
  });

  it('carries payloads and batches that are larger than what one crossing holds', async () => {
    const { open, close } = make();
    const file = open();
    const large = Uint8Array.from({ length: 700_000 }, (__, i) => i % 251);
    expect(file.append(large)).toBe(0n);
    expect(file.appendBatch([large, bytes('x'), large])).toBe(1n);
    for (let i = 0; i < 20_000; i += 1) file.append(bytes(`event ${i}`));
    const events = file.readRange(0n, END);
    expect(events).toHaveLength(20_004);
    expect(events[3]?.payload.length).toBe(large.length);
    expect(Array.from(events[0]?.payload.subarray(699_990) ?? [])).toEqual(Array.from(large.subarray(699_990)));
    expect(text(events[20_003])).toBe('event 19999');
    await close();
  });

  it('shares its state among handles, and a closed one fails while its memory stays readable', async () => {
    const { open, close } = make();
    const [first, second] = [open(), open()];
    first.append(bytes('a'));
    expect(second.append(bytes('b'))).toBe(1n);
    const closing = first.close();
    for (const work of [() => second.append(bytes('c')), () => first.append(bytes('c'))]) {
      const error = errorOf(work);
      expect(error).toBeInstanceOf(RedexError);
      expect(error.message).toBe('redex: append: file closed');
      expect(error.kind).toBe('closed');
    }
    expect(errorOf(() => first.appendBatch([])).message).toBe('redex: append_batch: file closed');
    expect(texts(first.readRange(0n, END))).toEqual(['a', 'b']);
    await closing;
    await first.close();
    await first.sync();
    await close();
  });

  it('tails what is there and what comes, in order, to any number of readers', async () => {
    const { open, close } = make();
    const file = open();
    for (let i = 0; i < 1500; i += 1) file.append(bytes(String(i)));
    const seen: string[] = [];
    const reader = (async () => {
      for await (const event of await file.tail(10n)) {
        seen.push(text(event) as string);
        if (event.seq === 1599n) break;
      }
    })();
    for (let i = 1500; i < 1600; i += 1) {
      file.append(bytes(String(i)));
      if (i % 7 === 0) await Promise.resolve();
    }
    await reader;
    expect(seen).toEqual(Array.from({ length: 1590 }, (__, i) => String(i + 10)));
    await close();
  });

  it('delivers what is queued when it is closed, and then ends its tails', async () => {
    const { open, close } = make();
    const file = open();
    const iterator = (await file.tail())[Symbol.asyncIterator]();
    const pending = [iterator.next(), iterator.next(), iterator.next()];
    file.append(bytes('only'));
    const closing = file.close();
    const results = await Promise.all(pending);
    expect(results.map((result) => (result.done ? null : text(result.value)))).toEqual(['only', null, null]);
    await closing;
    expect(await (await file.tail())[Symbol.asyncIterator]().next()).toEqual({ value: undefined, done: true });
    await close();
  });

  it('reads on from its cursor however far it has fallen behind', async () => {
    const { open, close } = make();
    const file = open();
    const iterator = (await file.tail())[Symbol.asyncIterator]();
    file.append(bytes('first'));
    expect((await iterator.next()).value?.seq).toBe(0n);
    for (let i = 0; i < 5000; i += 1) file.append(bytes('later'));
    for (let i = 1n; i <= 5000n; i += 1n) expect((await iterator.next()).value?.seq).toBe(i);
    await close();
  });
});

describe('tails', () => {
  it('end when their signal aborts, and when they are closed with a call pending', async () => {
    const file = new CoreRedex().openFile('a');
    const abort = new AbortController();
    const first = await file.tail(0n, { signal: abort.signal });
    const second = await file.tail();
    const pending = [first.next(), second.next(), second.next()];
    abort.abort();
    second.close();
    second.close();
    expect(await Promise.all(pending)).toEqual([null, null, null]);
    expect(await first.next()).toBeNull();
    const third = await file.tail(null);
    third.close();
    expect(await third.next()).toBeNull();
  });

  it('wait beyond the end and skip what is below', async () => {
    const file = new CoreRedex().openFile('a');
    const tail = await file.tail(2n);
    const next = tail.next();
    for (const word of ['zero', 'one', 'two']) file.append(bytes(word));
    expect(text(await next)).toBe('two');
  });

  it('report once that retention has removed what they wanted, and end', async () => {
    const file = new Redex().openFile('a', { retentionMaxEvents: 10n });
    for (let i = 0; i < 100; i += 1) file.append(bytes(String(i)));
    const tail = (await file.tail(5n))[Symbol.asyncIterator]();
    const error = await tail.next().catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(RedexError);
    expect(error).toMatchObject({
      message: 'redex: tail: tail subscriber lagged; stream disconnected',
      kind: 'lagged',
    });
    expect(await tail.next()).toEqual({ value: undefined, done: true });

    const live = (await file.tail(90n))[Symbol.asyncIterator]();
    expect((await live.next()).value?.seq).toBe(90n);
    for (let i = 0; i < 1000; i += 1) file.append(bytes('more'));
    await expect(
      (async () => {
        for (let i = 0; i < 1000; i += 1) if ((await live.next()).done) return 'ended silently';
        return 'all came';
      })(),
    ).rejects.toThrow('tail subscriber lagged');
  });
});

describe('options', () => {
  const redex = new Redex({ persistentDir: '/options', storage: new MemoryStorage() });
  const of = (config: object) => errorOf(() => redex.openFile('x', { persistent: true, ...config }));

  it.each([
    [{ fsyncEveryN: 1n, fsyncIntervalMs: 5 }, 'fsync_every_n and fsync_interval_ms are mutually exclusive'],
    [{ fsyncEveryN: 0n }, 'fsync_every_n must be > 0'],
    [{ fsyncIntervalMs: 0 }, 'fsync_interval_ms must be > 0'],
  ])('%o', (config, message) => {
    expect(of(config).message).toBe(`redex: config: ${message}`);
    expect(of(config).kind).toBe('invalid-config');
  });

  it('64-bit values', () => {
    expect(of({ retentionMaxBytes: -1n }).message).toBe(
      'redex: config.retention_max_bytes: expected non-negative BigInt',
    );
    expect(of({ fsyncEveryN: 2n ** 64n }).message).toBe('redex: config.fsync_every_n: BigInt value exceeds u64 range');
    const file = redex.openFile('y');
    expect(errorOf(() => file.readRange(-1n, 0n)).message).toBe('redex: config.start: expected non-negative BigInt');
    expect(redex.openFile('z', { retentionMaxEvents: 5 as unknown as bigint }).len()).toBe(0n);
  });

  it('a persistent file needs a directory, replication a mesh, and nothing is created before that', () => {
    expect(errorOf(() => new Redex().openFile('x', { persistent: true })).message).toBe(
      'redex: open_file: channel error: config.persistent=true requires Redex::with_persistent_dir(...)',
    );
    expect(errorOf(() => redex.openFile('x', { replication: {} })).message).toBe(
      'redex: open_file: channel error: RedexFileConfig::replication requires Redex::enable_replication(mesh)',
    );
    expect(errorOf(() => redex.openFile('a/v0000000001', { persistent: true })).message).toBe(
      'redex: open_file: channel error: segment "v0000000001" is reserved for storage',
    );
    expect(redex.stats().files.map((file) => file.name)).toEqual(['y', 'z']);
  });

  it('wrong types name what is needed', () => {
    const file = redex.openFile('y');
    expect(() => file.append('text' as unknown as Uint8Array)).toThrow(/append: payload must be .* got string/);
    expect(() => redex.openFile(5 as unknown as string)).toThrow(/channelName must be a string/);
  });
});

describe('retention', () => {
  const fill = (file: RedexFile, count: number) => {
    for (let i = 0; i < count; i += 1) file.append(bytes(String(i % 10)));
  };

  it('by count and by bytes: observers see the bound', () => {
    const redex = new Redex();
    const byCount = redex.openFile('count', { retentionMaxEvents: 100n });
    const byBytes = redex.openFile('bytes', { retentionMaxBytes: 2100n });
    for (const file of [byCount, byBytes]) {
      fill(file, 1000);
      expect(file.len()).toBe(100n);
      expect(file.readRange(0n, END).map((event) => event.seq)[0]).toBe(900n);
      expect(file.append(bytes('next'))).toBe(1000n);
    }
  });

  it('by age', async () => {
    const file = new Redex().openFile('age', { retentionMaxAgeMs: 20n });
    fill(file, 5);
    await expect.poll(() => file.len(), { timeout: 5000 }).toBe(0n);
    expect(file.nextSeq()).toBe(5n);
  });

  it('shrinks the files, keeps the sequence even when nothing is left, and survives reopening', async () => {
    const { open, storage, persistentDir } = persistent();
    const redex = open();
    const file = redex.openFile('a', { persistent: true, retentionMaxEvents: 0n });
    fill(file, 1000);
    expect(file.len()).toBe(0n);
    await file.sweepRetention();
    expect(storage.list(`${persistentDir}/a`)?.map((entry) => entry.name)).toContain('v0000000002');
    expect(storage.open(`${persistentDir}/a/v0000000002/idx`, false)?.length()).toBe(20);
    expect(file.append(bytes('1000'))).toBe(1000n);
    await redex.close();
    const again = open();
    const reopened = again.openFile('a', { persistent: true });
    expect(reopened.nextSeq()).toBe(1001n);
    expect(texts(reopened.readRange(1000n, END))).toEqual(['1000']);
    await again.close();
  });

  it('keeps appends that come while the files are rewritten', async () => {
    const { open } = persistent();
    const redex = open();
    const file = redex.openFile('a', { persistent: true, retentionMaxEvents: 3000n });
    const payload = new Uint8Array(1000);
    for (let i = 0; i < 6000; i += 1) file.append(payload);
    const sweeping = file.sweepRetention();
    for (let i = 0; i < 500; i += 1) {
      file.append(bytes(`late ${i}`));
      if (i % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 0));
    }
    await sweeping;
    await redex.close();
    const again = open();
    const events = again.openFile('a', { persistent: true, retentionMaxEvents: 3000n }).readRange(0n, END);
    expect(events).toHaveLength(3000);
    expect(events.map((event) => event.seq)).toEqual(Array.from({ length: 3000 }, (_, i) => BigInt(3500 + i)));
    expect(text(events[2999])).toBe('late 499');
    await again.close();
  });
});

describe('a manager', () => {
  it('opens a fresh file after close: persistent ones recover, memory ones start empty', async () => {
    const redex = persistent().open();
    for (const [config, expected] of [
      [{}, 0n],
      [{ persistent: true }, 1n],
    ] as const) {
      const name = `x${expected}`;
      const file = redex.openFile(name, config);
      file.append(bytes('a'));
      const closing = file.close();
      const fresh = redex.openFile(name, config);
      expect(fresh.len()).toBe(expected);
      fresh.append(bytes('b'));
      await closing;
      expect(fresh.len()).toBe(expected + 1n);
    }
    await redex.close();
  });

  it('shares a directory with another manager; closing one leaves the other working', async () => {
    const { open } = persistent();
    const [one, two] = [open(), open()];
    const a = one.openFile('a', { persistent: true });
    const b = two.openFile('a', { persistent: true });
    a.append(bytes('from one'));
    const tail = (await b.tail())[Symbol.asyncIterator]();
    expect(text((await tail.next()).value)).toBe('from one');
    const next = tail.next();
    a.append(bytes('again'));
    expect(text((await next).value)).toBe('again');
    await one.close();
    expect(b.append(bytes('from two'))).toBe(2n);
    expect(errorOf(() => a.append(bytes('x'))).kind).toBe('closed');
    await two.close();
  });

  it('closes everything once, and then opens nothing', async () => {
    const redex = new Redex();
    const tail = (await redex.openFile('a').tail())[Symbol.asyncIterator]();
    const pending = tail.next();
    await Promise.all([redex.close(), redex.close(), redex[Symbol.asyncDispose]()]);
    expect(await pending).toEqual({ value: undefined, done: true });
    expect(errorOf(() => redex.openFile('b')).message).toBe('redex: open_file: file closed');
  });

  it('deletes a channel, but not its children', async () => {
    const { open, storage, persistentDir } = persistent();
    const redex = open();
    for (const name of ['orders', 'orders/eu']) redex.openFile(name, { persistent: true }).append(bytes(name));
    await redex.deleteFile('orders');
    expect(storage.list(`${persistentDir}/orders`)?.map((entry) => entry.name)).toEqual(['eu']);
    expect(redex.openFile('orders', { persistent: true }).len()).toBe(0n);
    expect(redex.openFile('orders/eu', { persistent: true }).len()).toBe(1n);
    await redex.close();
  });

  it('says what it holds', async () => {
    const redex = persistent().open();
    const file = redex.openFile('a', { persistent: true, fsyncEveryN: 1n });
    file.append(bytes('four'));
    await file.sync();
    expect(redex.stats()).toMatchObject({
      storage: 'memory',
      files: [{ name: 'a', events: 1n, bytes: 4n, nextSeq: 1n, generation: 1, damagedRecords: 0, poisoned: false }],
    });
    expect(redex.stats().files[0]?.lastFsyncMs).toBeGreaterThan(0);
    await redex.close();
  });
});
