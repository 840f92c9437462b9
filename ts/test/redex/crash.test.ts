import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { Redex } from '../../src/redex/index.js';

const root = mkdtempSync(join(tmpdir(), 'redex-crash-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const entry = join(import.meta.dirname, '..', '..', '..', 'dist', 'redex', 'index.js');
const writer = join(import.meta.dirname, 'writer.mjs');
const soak = Boolean(process.env.MESHRING_SOAK);
const rounds = soak ? 1000 : 4;

function payload(seq: number): Buffer {
  const length = (seq * 2654435761) % 200;
  return Buffer.alloc(8 + length, seq & 0xff).fill(String(seq).padStart(8, '0'), 0, 8);
}

/** Runs the writer, kills it at a random moment, and returns what it had reported. */
async function killedWriter(directory: string, options: string, seed: number, mode: string) {
  const child = spawn(process.execPath, [writer, entry, directory, 'crash', options, String(seed), mode], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  let opened: () => void = () => {};
  const running = new Promise<void>((resolve) => {
    opened = resolve;
  });
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
    if (output.includes('\n')) opened();
  });
  const gone = new Promise<NodeJS.Signals | null>((resolve) => {
    child.once('close', (_, signal) => resolve(signal));
  });
  await Promise.race([running, gone]);
  // The moment of the kill is what is random here; nothing waits for this time to pass.
  await new Promise((resolve) => setTimeout(resolve, (seed * 7919) % 40));
  child.kill('SIGKILL');
  const signal = await gone;
  const lines = output.slice(0, output.lastIndexOf('\n')).split('\n');
  const numbers = (prefix: RegExp) =>
    lines.filter((line) => prefix.test(line)).map((line) => Number(line.split(' ').at(-1)));
  return {
    signal,
    start: numbers(/^open/)[0] ?? -1,
    accepted: Math.max(0, ...numbers(/^(\d|open)/)),
    durable: Math.max(0, ...numbers(/^durable/)),
  };
}

// Most of a round is the start of the writer: the policies run side by side.
describe.concurrent('kill -9 of a writer loses nothing that append returned for', () => {
  it.each([
    ['no fsync', '{}', ''],
    ['fsync every 64 events', '{"fsyncEveryN":"64n"}', ''],
    ['fsync every 5 ms', '{"fsyncIntervalMs":5}', ''],
    ['awaited sync', '{}', 'sync'],
    ['retention', '{"retentionMaxEvents":"2000n"}', ''],
  ])(
    '%s',
    async (name, options, mode) => {
      const directory = join(root, name.replaceAll(' ', '-'));
      const retained = options.includes('retention') ? 2000n : null;
      let events = 0;
      let kills = 0;
      let checked = 0;
      for (let round = 1; round <= rounds; round += 1) {
        const said = await killedWriter(directory, options, round, mode);
        expect(said.signal, `round ${round}`).toBe('SIGKILL');
        kills += 1;
        const redex = new Redex({ persistentDir: directory });
        const file = redex.openFile('crash', { persistent: true });
        const next = Number(file.nextSeq());
        // Nothing accepted is missing; at most the call during which it was killed comes on top.
        expect(next, `round ${round}`).toBeGreaterThanOrEqual(Math.max(said.accepted, said.durable));
        const all = file.readRange(0n, 2n ** 63n);
        const first = Number(all[0]?.seq ?? next);
        if (retained === null) expect(first, `round ${round}`).toBe(0);
        else expect(next - first).toBeGreaterThanOrEqual(Math.min(next, Number(retained)));
        for (const [at, event] of all.entries()) {
          if (Number(event.seq) !== first + at || !payload(first + at).equals(event.payload)) {
            expect.fail(`round ${round}: wrong entry at ${first + at}`);
          }
        }
        checked += all.length;
        const [stats] = redex.stats().files;
        expect(stats?.damagedRecords, `round ${round}`).toBe(0);
        events += next - said.start;
        await redex.close();
        // A long log makes each round slower without testing more.
        if (all.length > 50_000) rmSync(directory, { recursive: true });
      }
      expect(events).toBeGreaterThan(0);
      if (soak) {
        process.stdout.write(
          `crash, ${name}: ${rounds} rounds, ${kills} writers killed, ${events} events accepted, ${checked} entries checked, none missing or wrong\n`,
        );
      }
    },
    soak ? 3_600_000 : 60_000,
  );
});
