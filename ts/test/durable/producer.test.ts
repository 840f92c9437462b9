import { spawn } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import {
  decodeNonce,
  encodeNonce,
  type KeptProducer,
  keptNonce,
  openKeptProducer,
} from '../../src/bus/producer/index.js';
import { Journal } from '../../src/bus/producer/journal.js';
import { BLOCK, decodeSequences, encodeSequences } from '../../src/bus/producer/sequences.js';
import { type Batch, type Transport, TransportError } from '../../src/bus/transport.js';
import { batch, numbered } from './batches.js';
import { until } from './servers.js';

const vector = JSON.parse(readFileSync(new URL('../vectors/bus-nonce.json', import.meta.url), 'utf8'));
const root = mkdtempSync(join(tmpdir(), 'meshring-producer-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let path: string;
beforeEach(() => {
  path = join(mkdtempSync(join(root, 'case-')), 'producer.nonce');
});

const producer = (shards = 2): Promise<KeptProducer> => openKeptProducer({ path, shards, sync: false });

/** A store that can be told to fail: the fault is injected, the rest is real. */
function store(fault: () => TransportError | undefined = () => undefined) {
  const stored: Batch[] = [];
  const onBatch = async (sent: Batch) => {
    await new Promise((resolve) => setImmediate(resolve));
    const error = fault();
    if (error) throw error;
    stored.push({ ...sent, data: Buffer.from(sent.data) });
  };
  return { stored, transport: { onBatch } as unknown as Transport };
}

describe('producer-nonce file', () => {
  it('has the format of the published package', () => {
    for (const { file, hexId } of vector.valid) {
      const nonce = decodeNonce(Buffer.from(file, 'hex'), 'p');
      expect(nonce.toString(16)).toBe(hexId);
      if (file !== '010000000000000000') expect(Buffer.from(encodeNonce(nonce)).toString('hex')).toBe(file);
    }
    for (const { file } of vector.invalid) {
      expect(() => decodeNonce(Buffer.from(file, 'hex'), 'p'), file).toThrow(/producer-nonce file at p has /);
    }
  });

  it('is made once and read from then on', async () => {
    const nonce = await keptNonce(path);
    expect(nonce).not.toBe(0n);
    expect(readFileSync(path)).toHaveLength(9);
    expect(await keptNonce(path)).toBe(nonce);
    expect(readdirSync(join(path, '..'))).toEqual(['producer.nonce']);
  });

  it('says what is wrong with it', async () => {
    writeFileSync(path, Buffer.alloc(8));
    const prefix = `Failed to create EventBus: fatal error: failed to load/create producer-nonce file at ${path}: `;
    await expect(producer()).rejects.toThrow(
      `${prefix}producer-nonce file at ${path} has length 8 (expected 9 for v1)`,
    );
    writeFileSync(path, Buffer.alloc(9, 2));
    await expect(keptNonce(path)).rejects.toThrow('unknown version byte 0x02 (expected 0x01 for v1)');
    const missing = join(root, 'no', 'such', 'file');
    await expect(openKeptProducer({ path: missing, shards: 1, sync: false })).rejects.toThrow(
      /producer-nonce file at .*no/,
    );
    expect(existsSync(join(root, 'no'))).toBe(false);
    // A failed start leaves nothing locked.
    rmSync(path);
    await (await producer()).close();
  });
});

describe('exclusive use', () => {
  it('refuses a second producer in this process and names the process', async () => {
    const first = await producer();
    await expect(producer()).rejects.toThrow(
      `Failed to create EventBus: fatal error: producer-nonce file ${path} is in use by process ${process.pid}`,
    );
    await first.close();
    await first.close();
    expect(existsSync(`${path}.lock`)).toBe(false);
    await (await producer()).close();
  });

  it('takes over the lock of a process that is gone', async () => {
    const child = spawn(process.execPath, ['-e', '']);
    await new Promise((resolve) => child.once('exit', resolve));
    writeFileSync(`${path}.lock`, `${child.pid}\n`);
    const taken = await producer();
    expect(readFileSync(`${path}.lock`, 'utf8')).toBe(`${process.pid}\n`);
    await taken.close();
  });
});

describe('sequence numbers', () => {
  it('are never used twice over restarts', async () => {
    const used = new Set<bigint>();
    for (let run = 0; run < 100; run++) {
      const kept = await producer(1);
      const start = kept.sequences.get(0) ?? 0n;
      const sent = batch(0, start, numbered(0, 3), { nonce: kept.nonce });
      await kept.journal.before(sent);
      for (let i = 0n; i < 3n; i++) {
        expect(used.has(start + i)).toBe(false);
        used.add(start + i);
      }
      await kept.journal.after(sent);
      await kept.close();
    }
  });

  it('are reserved in blocks before they are used', async () => {
    const kept = await producer(1);
    expect(kept.sequences.get(0)).toBeUndefined();
    const reserved = () => decodeSequences(readFileSync(`${path}.seq`, 'latin1'), path, kept.nonce);
    expect(reserved().get(0)).toBe(BLOCK);
    await kept.journal.before(batch(0, BLOCK - 1n, ['1', '2'], { nonce: kept.nonce }));
    expect(reserved().get(0)).toBe(2n * BLOCK);
    await kept.journal.before(batch(5, 0, ['1'], { nonce: kept.nonce }));
    expect(reserved().get(5)).toBe(BLOCK);
    await kept.close();
    const next = await producer(1);
    expect([...next.sequences]).toEqual([
      [0, 2n * BLOCK],
      [5, BLOCK],
    ]);
    await next.close();
  });

  it('are not begun anew when the file is damaged or belongs to another nonce', async () => {
    const read = (text: string) => () => decodeSequences(text, 'p', 255n);
    const text = encodeSequences(
      255n,
      new Map([
        [3, 7n],
        [0, 2n ** 64n],
      ]),
    );
    expect(text).toBe('v1\nff\n0 18446744073709551616\n3 7\n');
    expect(read(text)().get(3)).toBe(7n);
    expect(read('v2\nff\n')).toThrow('unknown version');
    expect(read('v1\nfe\n')).toThrow('belongs to another nonce');
    expect(read('v1\nff\n0 5')).toThrow('is cut off');
    for (const line of ['0', '00 5', '70000 5', '0 -5', '0 5 6', 'x y', '0 1\n0 2']) {
      expect(read(`v1\nff\n${line}\n`), line).toThrow('has a bad line');
    }
    await (await producer()).close();
    writeFileSync(`${path}.seq`, 'junk');
    await expect(producer()).rejects.toThrow('producer sequence file at');
  });
});

describe('journal', () => {
  const journal = () => Journal.open(`${path}.journal`, false);

  it('gives back what was not confirmed, byte for byte and in order', async () => {
    const { journal: first } = await journal();
    const odd = batch(1, 2n ** 60n, [Buffer.from([0xff, 0]), '', '{"é":1}'], { timestamps: [0, 5, 2n ** 64n - 1n] });
    await first.begin(odd);
    for (const start of [0, 10, 20, 30]) await first.begin(batch(0, start, numbered(start, start + 10)));
    await first.end(0, 10n);
    await first.close();
    const { journal: second, unconfirmed } = await journal();
    expect(unconfirmed.get(0)?.map(({ sequenceStart }) => Number(sequenceStart))).toEqual([0, 20, 30]);
    const { nonce: _, ...expected } = odd;
    expect(unconfirmed.get(1)).toEqual([expected]);
    for (const start of [0n, 20n, 30n]) await second.end(0, start);
    await second.end(1, 2n ** 60n);
    await second.close();
    expect(statSync(`${path}.journal`).size).toBe(0);
  });

  it('ends at a torn entry, wherever it is torn', async () => {
    const { journal: first } = await journal();
    await first.begin(batch(0, 0, numbered(0, 5)));
    const whole = first.size;
    await first.begin(batch(0, 5, numbered(5, 10)));
    const full = first.size;
    await first.close();
    const bytes = readFileSync(`${path}.journal`);
    for (const cut of [whole, whole + 1, whole + 8, whole + 20, full - 1]) {
      writeFileSync(`${path}.journal`, bytes.subarray(0, cut));
      const { journal: torn, unconfirmed } = await journal();
      expect(unconfirmed.get(0)).toHaveLength(1);
      expect(torn.size).toBe(whole);
      await torn.close();
    }
    for (const at of [whole, whole + 5, whole + 9, full - 1]) {
      const spoilt = Buffer.from(bytes);
      spoilt[at] = (spoilt[at] ?? 0) ^ 0x40;
      writeFileSync(`${path}.journal`, spoilt);
      const { journal: torn, unconfirmed } = await journal();
      expect(unconfirmed.get(0), `byte ${at}`).toHaveLength(1);
      await torn.close();
    }
    appendFileSync(`${path}.journal`, Buffer.alloc(3));
    truncateSync(`${path}.journal`, 0);
    const { journal: empty, unconfirmed } = await journal();
    expect(unconfirmed.size).toBe(0);
    await empty.close();
  });

  it('stays small while batches come and go', async () => {
    const { journal: busy } = await journal();
    const event = 'x'.repeat(100_000);
    // One batch is always open, as under constant load.
    await busy.begin(batch(1, 0, ['open']));
    for (let i = 0; i < 300; i++) {
      await busy.begin(
        batch(
          0,
          5 * i,
          Array.from({ length: 5 }, () => event),
        ),
      );
      await busy.end(0, BigInt(5 * i));
    }
    expect(busy.size).toBeLessThan(70 << 20);
    await busy.close();
    const { journal: next, unconfirmed } = await journal();
    expect([...unconfirmed.values()].flat().map(({ sequenceStart }) => sequenceStart)).toEqual([0n]);
    await next.close();
  });
});

describe('recovery', () => {
  it('sends unconfirmed batches first, with their old ids; new batches of the shard wait', async () => {
    const crashed = await producer();
    await crashed.journal.before(batch(0, 0, ['1', '2'], { nonce: crashed.nonce }));
    await crashed.journal.before(batch(1, 0, ['a'], { nonce: crashed.nonce }));
    // A crash leaves the files as they are; only the lock goes.
    await crashed.close();

    let down = true;
    const { stored, transport } = store(() => (down ? new TransportError('transient', 'down') : undefined));
    const kept = await producer();
    expect(kept.nonce).toBe(crashed.nonce);
    kept.recover(transport, 1000, () => undefined);
    const next = batch(0, kept.sequences.get(0) ?? 0n, ['3'], { nonce: kept.nonce });
    let ready = false;
    const before = Promise.resolve(kept.journal.before(next)).then(() => {
      ready = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(ready).toBe(false);
    down = false;
    await before;
    await kept.recovered();
    expect(
      stored.map(({ shardId, sequenceStart, nonce, data }) => [shardId, sequenceStart, nonce, String(data)]),
    ).toEqual(
      expect.arrayContaining([
        [0, 0n, kept.nonce, '12'],
        [1, 0n, kept.nonce, 'a'],
      ]),
    );
    await transport.onBatch(next);
    await kept.journal.after(next);
    await kept.close();
    expect(statSync(`${path}.journal`).size).toBe(0);
  });

  it('keeps what a shutdown interrupts for the next start', async () => {
    const crashed = await producer();
    await crashed.journal.before(batch(0, 0, ['1'], { nonce: crashed.nonce }));
    await crashed.close();
    const second = await producer();
    second.recover(store(() => new TransportError('transient', 'down')).transport, 1000, () => undefined);
    await second.close();
    const third = await producer();
    const { stored, transport } = store();
    third.recover(transport, 1000, () => undefined);
    await until('the batch', () => stored.length === 1);
    await third.recovered();
    await third.close();
  });

  it('gives up, with a warning, what the store refuses for good', async () => {
    const crashed = await producer();
    await crashed.journal.before(batch(0, 0, ['1', '2'], { nonce: crashed.nonce }));
    await crashed.close();
    const warnings: string[] = [];
    const kept = await producer();
    kept.recover(store(() => new TransportError('fatal', 'WRONGTYPE')).transport, 1000, (text) => warnings.push(text));
    await kept.recovered();
    expect(warnings).toEqual(['producer journal: 2 events of shard 0 from 0 on are given up: fatal error: WRONGTYPE']);
    await kept.close();
    expect(statSync(`${path}.journal`).size).toBe(0);
  });

  it('forgets a batch that was given up when the next one of its shard comes', async () => {
    const kept = await producer();
    await kept.journal.before(batch(0, 0, ['1'], { nonce: kept.nonce }));
    const next = batch(0, 1, ['2'], { nonce: kept.nonce });
    await kept.journal.before(next);
    await kept.journal.after(next);
    await kept.close();
    expect(statSync(`${path}.journal`).size).toBe(0);
  });
});
