import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, describe, expect, it } from 'vitest';
import { Redex, type RedexEvent } from '../../src/redex/index.js';
import { peerMissing, python } from './python.js';

const root = mkdtempSync(join(tmpdir(), 'redex-peer-'));
let count = 0;
const directory = () => join(root, String(++count));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** The published peer on a directory: one JSON request a line, one JSON answer. */
const PEER = `
import sys, json, net
redex = net.Redex(sys.argv[1]); files = {}
for line in sys.stdin:
    op, *args = json.loads(line)
    if op == 'open': files[args[0]] = redex.open_file(args[0], persistent=True); out = len(files[args[0]])
    elif op == 'append': out = [files[args[0]].append(bytes.fromhex(p)) for p in args[1]]
    elif op == 'batch': out = files[args[0]].append_batch([bytes.fromhex(p) for p in args[1]])
    elif op == 'read': out = [[e.seq, bytes(e.payload).hex(), e.checksum] for e in files[args[0]].read_range(0, 2**63)]
    elif op == 'close': files[args[0]].close(); out = None
    print(json.dumps(out), flush=True)
`;

class Peer {
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;

  constructor(directory: string) {
    this.#child = spawn(python, ['-c', PEER, directory], { stdio: ['pipe', 'pipe', 'inherit'] });
    const stdout = this.#child.stdout as NodeJS.ReadableStream;
    this.#answers = createInterface({ input: stdout })[Symbol.asyncIterator]();
  }

  async ask<T>(...request: unknown[]): Promise<T> {
    this.#child.stdin?.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await this.#answers.next();
    if (done) throw new Error('the peer ended');
    return JSON.parse(value) as T;
  }

  /** Ends it; `SIGKILL` without a chance to tidy up. */
  async end(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill(signal);
    await gone;
  }
}

type Row = [number, string, number];
const rows = (events: RedexEvent[]): Row[] =>
  events.map((event) => [Number(event.seq), Buffer.from(event.payload).toString('hex'), event.checksum]);
const payload = (n: number) => Buffer.from(`event ${n} ${'x'.repeat(n % 97)}`);
const payloads = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => payload(from + i));
const everything = (redex: Redex, name: string) =>
  rows(redex.openFile(name, { persistent: true }).readRange(0n, 2n ** 63n));

/** Our side in a process of its own, which ends without closing anything. */
async function oursKilled(directory: string, script: string): Promise<void> {
  const entry = join(import.meta.dirname, '..', '..', '..', 'dist', 'redex', 'index.js');
  const code = `const { Redex } = require(${JSON.stringify(entry)});
    const redex = new Redex({ persistentDir: ${JSON.stringify(directory)} });
    const payload = (n) => Buffer.from('event ' + n + ' ' + 'x'.repeat(n % 97));
    ${script}
    process.kill(process.pid, 'SIGKILL');`;
  const child = spawn(process.execPath, ['-e', code], { stdio: 'inherit' });
  const signal = await new Promise((resolve) => child.once('exit', (_, by) => resolve(by)));
  expect(signal).toBe('SIGKILL');
}

describe.skipIf(peerMissing)(`RedEX directories of the published peer${peerMissing ? ` (${peerMissing})` : ''}`, () => {
  it('ours opens what the peer wrote, and the peer what ours added, after clean closes', async () => {
    const where = directory();
    const peer = new Peer(where);
    await peer.ask('open', 'orders/eu');
    await peer.ask(
      'append',
      'orders/eu',
      payloads(0, 50).map((p) => p.toString('hex')),
    );
    await peer.ask(
      'batch',
      'orders/eu',
      payloads(50, 100).map((p) => p.toString('hex')),
    );
    const written = await peer.ask<Row[]>('read', 'orders/eu');
    await peer.ask('close', 'orders/eu');
    await peer.end();

    const redex = new Redex({ persistentDir: where });
    expect(everything(redex, 'orders/eu')).toEqual(written);
    const file = redex.openFile('orders/eu', { persistent: true });
    for (const p of payloads(100, 150)) file.append(p);
    expect(file.appendBatch(payloads(150, 300))).toBe(150n);
    const added = everything(redex, 'orders/eu');
    await redex.close();

    const again = new Peer(where);
    expect(await again.ask('open', 'orders/eu')).toBe(300);
    expect(await again.ask<Row[]>('read', 'orders/eu')).toEqual(added);
    await again.end();
  });

  it('the peer opens what ours left when it was killed, and keeps the append times', async () => {
    const where = directory();
    await oursKilled(
      where,
      `const file = redex.openFile('a', { persistent: true });
       for (let n = 0; n < 777; n += 1) file.append(payload(n));
       file.appendBatch([777, 778, 779].map(payload));`,
    );
    const generation = join(where, 'a', 'v0000000001');
    expect(statSync(join(generation, 'idx')).size).toBeGreaterThan(780 * 20);
    const peer = new Peer(where);
    expect(await peer.ask('open', 'a')).toBe(780);
    expect((await peer.ask<Row[]>('read', 'a')).map((row) => row[1])).toEqual(
      payloads(0, 780).map((p) => p.toString('hex')),
    );
    expect(statSync(join(generation, 'idx')).size).toBe(780 * 20);
    // Unknown times would have left `ts` as it was; known ones are trimmed to one a record.
    expect(statSync(join(generation, 'ts')).size).toBe(780 * 8);
    expect(await peer.ask('append', 'a', ['5a'])).toEqual([780]);
    await peer.end();

    const redex = new Redex({ persistentDir: where });
    expect(everything(redex, 'a')).toHaveLength(781);
    expect(redex.stats().files[0]).toMatchObject({ damagedRecords: 0, tornRecords: 0 });
    await redex.close();
  });

  it('ours opens what the peer left when it was killed', async () => {
    const where = directory();
    const peer = new Peer(where);
    await peer.ask('open', 'a');
    await peer.ask(
      'append',
      'a',
      payloads(0, 500).map((p) => p.toString('hex')),
    );
    await peer.end('SIGKILL');
    const redex = new Redex({ persistentDir: where });
    expect(everything(redex, 'a').map((row) => row[1])).toEqual(payloads(0, 500).map((p) => p.toString('hex')));
    await redex.close();
  });

  it('retention compacts in between, and the peer goes on in the new generation', async () => {
    const where = directory();
    const redex = new Redex({ persistentDir: where });
    const file = redex.openFile('a', { persistent: true, retentionMaxEvents: 100n });
    for (const p of payloads(0, 1000)) file.append(p);
    await file.sweepRetention();
    file.append(payload(1000));
    await redex.close();
    expect(readdirSync(join(where, 'a')).filter((name) => /^v\d/.test(name))).not.toContain('v0000000001');

    const peer = new Peer(where);
    const length = await peer.ask<number>('open', 'a');
    expect(length).toBe(100);
    const read = await peer.ask<Row[]>('read', 'a');
    expect(read.map((row) => row[0])).toEqual(Array.from({ length }, (_, i) => 1001 - length + i));
    expect(await peer.ask('append', 'a', ['5a'])).toEqual([1001]);
    await peer.end();

    const after = new Redex({ persistentDir: where });
    expect(
      everything(after, 'a')
        .map((row) => row[0])
        .at(-1),
    ).toBe(1001);
    await after.close();
  });

  it('a killed writer with nothing appended leaves an empty log to both', async () => {
    const where = directory();
    await oursKilled(where, `redex.openFile('empty', { persistent: true });`);
    const peer = new Peer(where);
    expect(await peer.ask('open', 'empty')).toBe(0);
    expect(await peer.ask('append', 'empty', ['00'])).toEqual([0]);
    await peer.end();
    const redex = new Redex({ persistentDir: where });
    expect(everything(redex, 'empty').map((row) => row[1])).toEqual(['00']);
    await redex.close();
  });
});
