import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { numbered, uniquePrefix } from './batches.js';
import { noNats, noRedis, redisCli, startNats, startRedis, type TestServer, until } from './servers.js';

/** The command as it is installed; the build is part of the test set-up. */
const cli = join(import.meta.dirname, '..', '..', '..', 'dist', 'cli.js');
const folder = mkdtempSync(join(tmpdir(), 'meshring-cli-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** A running command. */
class Running {
  out = '';
  err = '';
  readonly process: ChildProcess;
  readonly end: Promise<Ended>;

  constructor(args: readonly string[], input?: string) {
    const { MESHRING_TRANSPORT: _, ...env } = process.env;
    const child = spawn(process.execPath, [cli, ...args], { env });
    this.process = child;
    child.stdout.on('data', (chunk) => {
      this.out += chunk;
    });
    child.stderr.on('data', (chunk) => {
      this.err += chunk;
    });
    if (input !== undefined) child.stdin.end(input);
    this.end = new Promise((resolve) => child.once('close', (code) => resolve({ code, out: this.out, err: this.err })));
  }
}

const run = (args: readonly string[], input = ''): Promise<Ended> => new Running(args, input).end;

describe('meshring', () => {
  it('lists its commands, and explains wrong arguments with code 1', async () => {
    const help = await run(['--help']);
    expect(help.code).toBe(0);
    for (const name of ['ingest', 'tail', 'stats', 'doctor', 'bench', 'zebus-directory']) {
      expect(help.out).toMatch(new RegExp(`^  ${name} `, 'm'));
    }
    for (const [args, text] of [
      [['ingest'], "required option '-t, --transport <store>' not specified"],
      [['ingest', '-t', 'kafka://h'], 'needs memory, redis, jetstream, or a redis:// or nats:// URL'],
      [['ingest', '-t', 'memory', '--rate', '0'], 'needs a whole number >= 1'],
      [['tail', '-t', 'redis', '--filter', '{'], 'Invalid filter: '],
      [['tail', '-t', 'memory'], 'a store in memory belongs to its process'],
      [['stats', '-t', 'redis://u:hunter2@127.0.0.1:1'], 'connection error: connect ECONNREFUSED 127.0.0.1:1'],
      [['ingest', join(folder, 'missing'), '-t', 'memory'], 'ENOENT'],
    ] as const) {
      const { code, err } = await run(args);
      expect([code, err.includes(text)], `${args.join(' ')}: ${err}`).toEqual([1, true]);
      expect(err).not.toContain('hunter2');
    }
  });

  it('measures the store in memory', async () => {
    const { code, out } = await run(['bench', '--events', '20000', '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(out).map(({ phase, events }: { phase: string; events: number }) => [phase, events])).toEqual([
      ['emitted', 20_000],
      ['acknowledged', 20_000],
      ['read back', 20_000],
    ]);
  });
});

const stores = [
  { name: 'redis', missing: noRedis, start: () => startRedis(), url: (s: TestServer) => `redis://127.0.0.1:${s.port}` },
  {
    name: 'jetstream',
    missing: noNats,
    start: () => startNats(),
    url: (s: TestServer) => `nats://127.0.0.1:${s.port}`,
  },
] as const;

for (const { name, missing, start, url } of stores) {
  describe.skipIf(missing)(`meshring over ${name}${missing ? ` (${missing})` : ''}`, () => {
    let server: TestServer;
    beforeAll(async () => {
      server = await start();
    });
    afterAll(() => server?.stop());
    const store = (prefix: string) => ['-t', url(server), '-p', prefix, '-s', '2'];

    it('ingests a file, shows the streams, prints the events', async () => {
      const prefix = uniquePrefix();
      const file = join(folder, `${name}.ndjson`);
      writeFileSync(file, `${numbered(0, 5000).join('\n')}\r\n\n  {"n":5000}  \n{"n":5001}`);
      const ingest = await run(['ingest', file, ...store(prefix)]);
      expect(ingest).toMatchObject({ code: 0, err: '' });
      expect(ingest.out).toMatch(/confirmed by the store +5,002\n/);
      const stats = JSON.parse((await run(['stats', ...store(prefix), '--json'])).out) as { events: number }[];
      expect(stats.reduce((sum, { events }) => sum + events, 0)).toBe(5002);
      expect((await run(['stats', ...store(prefix)])).out).toMatch(/total +5,002/);
      const all = await run(['tail', ...store(prefix), '--from', 'beginning', '--no-follow']);
      const found = all.out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).n as number);
      expect(found.sort((a, b) => a - b)).toEqual(Array.from({ length: 5002 }, (_, n) => n));
      // The cursor printed at the end goes on where it ended.
      const first = await run(['tail', ...store(prefix), '--from', 'beginning', '--no-follow', '-n', '2000']);
      const cursor = /cursor (\S+)/.exec(first.err)?.[1] ?? '';
      const rest = await run(['tail', ...store(prefix), '--from', cursor, '--no-follow']);
      expect(first.out.trim().split('\n').length + rest.out.trim().split('\n').length).toBe(5002);
      const filtered = await run([
        'tail',
        ...store(prefix),
        '--from',
        'beginning',
        '--json',
        '-n',
        '1',
        '-f',
        '{"path":"n","value":77}',
      ]);
      expect(JSON.parse(filtered.out)).toMatchObject({
        raw: '{"n":77}',
        shardId: expect.any(Number),
        id: expect.any(String),
      });
    });

    it('says with code 2 that lines were not JSON', async () => {
      const args = ['ingest', '-', ...store(uniquePrefix()), '--json'];
      const { code, out } = await run(args, '{"a":1}\nnonsense\n{"a":2}\n');
      expect(code).toBe(2);
      expect(JSON.parse(out)).toMatchObject({ sent: 2, refused: 1, stored: 2, failed: 0 });
      expect((await run([...args, '--raw'], 'any\nthing')).code).toBe(0);
    });

    it('follows, from now on, and ends with 130 when interrupted', async () => {
      const prefix = uniquePrefix();
      await run(['ingest', ...store(prefix)], '{"old":1}\n');
      const tail = new Running(['tail', ...store(prefix)]);
      // Events are sent until the first is seen: nobody else can tell when it is listening.
      let n = 0;
      await until('an event', async () => {
        await run(['ingest', ...store(prefix)], `{"n":${n++}}\n`);
        return tail.out !== '';
      });
      tail.process.kill('SIGINT');
      const { code, out, err } = await tail.end;
      expect(code).toBe(130);
      expect(out).not.toContain('old');
      expect(out).toMatch(/^\{"n":\d+\}$/m);
      expect(err).toMatch(/^cursor /);
    });

    it('delivers what it has read when interrupted', async () => {
      const prefix = uniquePrefix();
      const ingest = new Running(['ingest', '-', ...store(prefix), '--json']);
      ingest.process.stdin?.write(`${numbered(0, 3000).join('\n')}\n`);
      await until('the events', async () => {
        const { out } = await run(['stats', ...store(prefix), '--json']);
        return (JSON.parse(out) as { events: number }[]).some(({ events }) => events > 0);
      });
      ingest.process.kill('SIGINT');
      const { code, out } = await ingest.end;
      expect(code).toBe(130);
      const { sent, stored } = JSON.parse(out);
      expect([sent, stored]).toEqual([3000, 3000]);
    });

    it('keeps to a rate', async () => {
      const { out } = await run(
        ['ingest', '-', ...store(uniquePrefix()), '--rate', '1000', '--json'],
        numbered(0, 300).join('\n'),
      );
      const { rate, stored } = JSON.parse(out);
      expect(stored).toBe(300);
      expect(rate).toBeLessThan(1100);
    });

    it('finds nothing wrong with a good server, and a hint for a missing one', async () => {
      const good = await run(['doctor', '-t', url(server)]);
      expect(good.code, good.out).toBe(0);
      expect(good.out).toMatch(
        name === 'redis' ? /ok +redis exactly once: scripts are allowed/ : /ok +jetstream streams/,
      );
      const gone = await run(['doctor', '-t', url({ port: 1 } as TestServer)]);
      expect(gone.code).toBe(2);
      expect(gone.out).toMatch(/PROBLEM +.*ECONNREFUSED[^\n]*\n +is the server started/);
      const stats = await run(['stats', '-t', url(server), '-p', 'net']);
      expect(stats.out).toBe('no streams with prefix net\n');
    });

    it('measures, and leaves nothing behind', async () => {
      const { code, out } = await run(['bench', '-t', url(server), '-p', `bench${name}`, '-n', '5000']);
      expect(code).toBe(0);
      expect(out).toMatch(/read back +5,000/);
      if (name === 'redis') expect(redisCli(server, 'KEYS', '*bench*')).toBe('');
    });
  });
}

describe.skipIf(noRedis)('meshring doctor over Redis', () => {
  it('names missing permissions', async () => {
    const server = await startRedis();
    redisCli(server, 'ACL', 'SETUSER', 'reader', 'on', '>secret', '~*', '+ping', '+xrange', '+select');
    const { code, out } = await run(['doctor', '-t', `redis://reader:secret@127.0.0.1:${server.port}`]);
    expect(code).toBe(2);
    expect(out).toMatch(/PROBLEM +redis writing and reading: NOPERM/);
    expect(out).toMatch(/the user needs the commands XADD, XRANGE/);
    expect(out).not.toContain('secret');
    await server.stop();
  });
});
