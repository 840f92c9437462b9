import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { MarketrixError, type MeshPeer } from '../../src/marketrix.js';
import { all, joined, PYTHON, PYTHON_MISSING, prefix, REDIS, Relay, SOAK, selfSigned, until } from './rig.js';

const ROOT = join(import.meta.dirname, '..', '..', '..');

/** Runs the Python peer of the tests; resolves when it has joined. */
async function python(options: Record<string, unknown>): Promise<ChildProcess> {
  const settings = {
    service: 'python-peer',
    redis_url: REDIS,
    host: '127.0.0.1',
    advertise_host: '127.0.0.1',
    ...options,
  };
  const child = spawn(PYTHON, [join(import.meta.dirname, 'python', 'peer.py'), JSON.stringify(settings)], {
    env: { ...process.env, PYTHONPATH: join(ROOT, 'python') },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let errors = '';
  child.stderr?.on('data', (text: Buffer) => {
    errors += text.toString();
  });
  onTestFinished(({ task }) => {
    child.kill('SIGKILL');
    if (task.result?.state === 'fail' && errors) process.stderr.write(errors);
  });
  await new Promise<void>((resolve, reject) => {
    child.stdout?.once('data', () => resolve());
    child.once('exit', (code) => reject(new Error(`python ended with ${code}: ${errors}`)));
  });
  return child;
}

type Drive = (order: Record<string, unknown>) => Promise<unknown>;

async function pair(options: Record<string, unknown> = {}): Promise<{
  node: MeshPeer;
  drive: Drive;
  child: ChildProcess;
  keyPrefix: string;
}> {
  const keyPrefix = prefix();
  const child = await python({ key_prefix: keyPrefix, ...options });
  const node = await joined({ service: 'node-peer', keyPrefix });
  return { node, child, keyPrefix, drive: (order) => node.call('python-peer', 'drive', order) };
}

const count = SOAK ? 100_000 : 20_000;
const texts = (who: string) => Array.from({ length: count }, (_, i) => ({ text: `Message from ${who} #${i}` }));

describe.skipIf(PYTHON_MISSING)(`Node and Python${PYTHON_MISSING ? ` (skipped: ${PYTHON_MISSING})` : ''}`, () => {
  it('agree on the frame vectors', () => {
    const vectors = join(import.meta.dirname, '..', 'vectors', 'marketrix-frames.json');
    const said = execFileSync(PYTHON, [join(import.meta.dirname, 'python', 'frames.py'), vectors], {
      env: { ...process.env, PYTHONPATH: join(ROOT, 'python') },
      encoding: 'utf8',
    });
    expect(said.trim()).toBe('ok');
  });

  it('stream raw messages both ways in order, Node dialling', async () => {
    const { node } = await pair();
    const stream = await node.connect('python-peer');
    expect(stream.remote.service).toBe('python-peer');
    const received = all(stream);
    for (const message of texts('Node')) await stream.send(message);
    await stream.end();
    expect(await received).toEqual(texts('Node'));
    await stream.closed;
  });

  it('stream raw messages both ways in order, Python dialling', async () => {
    const { node, drive } = await pair();
    const seen: unknown[] = [];
    node.onConnection(async (stream) => {
      expect(stream.remote.service).toBe('python-peer');
      for await (const message of stream) {
        seen.push(message);
        await stream.send(message);
      }
      await stream.end();
    });
    expect(await drive({ op: 'echo', service: 'node-peer', count })).toBe(count);
    expect(seen).toEqual(texts('Python'));
  });

  it('speak plain frames without envelopes', async () => {
    const { node } = await pair({ envelope: false, endian: 'big' });
    const stream = await node.connect('python-peer');
    const values = [null, 'Message from Node #0', { a: [1, 'ä𝄞', -0.5] }, []];
    for (const value of values) await stream.send(value);
    await stream.end();
    expect(await all(stream)).toEqual(values);
  });

  it('call methods of each other', async () => {
    const { node, drive } = await pair();
    const python = node.service<{ add(a: number, b: number): Promise<number> }>('python-peer');
    expect(await python.add(2, 3)).toBe(5);
    const value = { text: 'größe ☃ 𝄞', list: [null, true, 1.5], bytes: Buffer.from([0, 255]), $: { $bytes: 'no' } };
    expect(await node.call('python-peer', 'same', value)).toEqual(value);
    expect(await node.call('python-peer', 'nothing')).toBeNull();
    expect(await node.call('python-peer', 'who', null, { headers: { a: 'b' } })).toEqual([
      'node-peer',
      'who',
      { a: 'b' },
    ]);
    await expect(node.call('python-peer', 'missing')).rejects.toMatchObject({ kind: 'no-method' });
    await expect(node.call('python-peer', 'fail')).rejects.toMatchObject({
      kind: 'handler',
      code: 'handler',
      message: 'marketrix: handler: no such order',
    });
    await expect(node.call('python-peer', 'typed')).rejects.toMatchObject({ code: 'SOLD_OUT', data: { left: 0 } });

    node.handle('add', ([a, b]: [number, number]) => a + b);
    node.handle('same', (input: unknown) => input);
    node.handle('typed', () => {
      throw new MarketrixError('handler', 'sold out', { code: 'SOLD_OUT', data: { left: 0 } });
    });
    const call = (method: string, input?: unknown) => drive({ op: 'call', service: 'node-peer', method, input });
    expect(await drive({ op: 'proxy', service: 'node-peer', method: 'add', args: [4, 5] })).toBe(9);
    expect(await call('same', value)).toEqual(value);
    expect(await call('typed')).toEqual({ kind: 'handler', code: 'SOLD_OUT', data: { left: 0 }, text: 'sold out' });
    expect(await call('missing')).toMatchObject({ kind: 'no-method' });
    expect(await drive({ op: 'call', service: 'nobody', method: 'x' })).toMatchObject({ kind: 'no-instance' });
  });

  it('stream calls: input, output, both, and failures half way', async () => {
    const { node, drive } = await pair();
    async function* numbers(to: number) {
      for (let i = 0; i < to; i++) yield i;
    }
    expect(await all(node.stream('python-peer', 'count', 2000))).toHaveLength(2000);
    expect(await node.call('python-peer', 'sum', numbers(1000))).toBe(499_500);
    expect(await all(node.stream('python-peer', 'double', numbers(300)))).toEqual(
      Array.from({ length: 300 }, (_, i) => i * 2),
    );
    await expect(all(node.stream('python-peer', 'broken'))).rejects.toThrow('half way');

    node.handle('count', async function* (to: number) {
      for (let i = 0; i < to; i++) yield i;
    });
    node.handle('sum', async (items: AsyncIterable<number>) => (await all(items)).reduce((a, b) => a + b, 0));
    node.handle('double', async function* (items: AsyncIterable<number>) {
      for await (const n of items) yield n * 2;
    });
    expect(await drive({ op: 'stream', service: 'node-peer', method: 'count', input: 2000 })).toHaveLength(2000);
    expect(await drive({ op: 'sum', service: 'node-peer', method: 'sum', to: 1000 })).toBe(499_500);
    expect(await drive({ op: 'double', service: 'node-peer', method: 'double', to: 300 })).toEqual(
      Array.from({ length: 300 }, (_, i) => i * 2),
    );
  });

  it('end calls by time and by cancelling, and the handler is stopped', async () => {
    const { node, drive } = await pair();
    // Connected both ways before anything is timed.
    node.handle('same', (input) => input);
    expect(await drive({ op: 'call', service: 'node-peer', method: 'same', input: 1 })).toBe(1);
    const started = (count: number) => async () => (await drive({ op: 'started' })) === count;
    await expect(node.call('python-peer', 'hang', null, { timeoutMs: 300 })).rejects.toMatchObject({ kind: 'timeout' });
    await until(started(1), 'the handler was called');
    const controller = new AbortController();
    const call = node.call('python-peer', 'hang', null, { signal: controller.signal });
    call.catch(() => {});
    await until(started(2), 'the handler was called again');
    controller.abort();
    await expect(call).rejects.toMatchObject({ kind: 'cancelled' });
    await until(async () => ((await drive({ op: 'told' })) as unknown[]).length === 2, 'both handlers were stopped');
    let stopped = false;
    node.handle('hang', (_: unknown, ctx) => {
      ctx.signal.addEventListener('abort', () => {
        stopped = true;
      });
      return new Promise(() => {});
    });
    expect(await drive({ op: 'call', service: 'node-peer', method: 'hang', timeout: 0.5 })).toMatchObject({
      kind: 'timeout',
    });
    await until(() => stopped, 'the handler here was told');
  });

  it('carry a message of 16 MiB', async () => {
    const { node, drive } = await pair();
    const text = 'x'.repeat(16 * 1024 * 1024 - 100);
    const result = await node.call<string>('python-peer', 'same', text);
    expect(result.length === text.length && result === text).toBe(true);
    await expect(node.call('python-peer', 'same', `${text}${'x'.repeat(200)}`)).rejects.toMatchObject({
      kind: 'frame-too-large',
    });
    expect(await drive({ op: 'told' })).toEqual([]);
  });

  it('send events to each other', async () => {
    const { node, drive } = await pair();
    const seen: unknown[] = [];
    await node.subscribe('prices', (data, from) => seen.push([data, from.service]));
    await drive({ op: 'subscribe', topic: 'prices' });
    expect(await node.publish('prices', { n: 1 })).toBe(2);
    expect(await drive({ op: 'publish', topic: 'prices', data: { n: 2 } })).toBe(2);
    await until(() => seen.length === 2, 'both events here');
    expect(seen).toEqual([
      [{ n: 1 }, 'node-peer'],
      [{ n: 2 }, 'python-peer'],
    ]);
    await until(async () => ((await drive({ op: 'events' })) as unknown[]).length === 2, 'both events there');
  });

  it('share values', async () => {
    const { node, drive } = await pair();
    const shared = node.data.ns('shared');
    expect(await shared.set('a', { list: [], n: 1 })).toBe(1);
    expect(await drive({ op: 'get', key: 'a' })).toEqual([{ list: [], n: 1 }, 1, `node-peer/${node.instance}`]);
    expect(await drive({ op: 'set', key: 'a', value: Buffer.from('x'), if_version: 1 })).toBe(2);
    expect(await drive({ op: 'set', key: 'a', value: 1, if_version: 1 })).toMatchObject({ kind: 'conflict', data: 2 });
    expect(await shared.get('a')).toMatchObject({ value: Buffer.from('x'), version: 2 });
    expect(await drive({ op: 'keys', prefix: '' })).toEqual(['a']);
    expect(await drive({ op: 'del', key: 'a' })).toBe(true);
    expect(await shared.get('a')).toBeNull();
  });

  it('see each other in the directory, and leave without a trace', async () => {
    const { node, drive, child } = await pair({ meta: { zone: 'b' } });
    expect(await node.instances('python-peer')).toMatchObject([{ lang: 'python', proto: 'h2c', meta: { zone: 'b' } }]);
    expect(await drive({ op: 'instances', service: 'node-peer' })).toMatchObject([{ lang: 'node', port: node.port }]);
    child.kill('SIGTERM');
    await until(async () => (await node.instances('python-peer')).length === 0, 'the Python peer has left');
  });

  it('hear how the other one feels, and choose by it', async () => {
    const { node, drive, keyPrefix } = await pair();
    const health = async () => (await node.instances('python-peer')).map((record) => [record.health, record.reason]);
    expect(await health()).toEqual([['ok', undefined]]);
    await drive({ op: 'health', health: 'degraded', reason: 'disk' });
    await until(async () => (await health())[0]?.[0] === 'degraded', 'the news has arrived');
    expect(await health()).toEqual([['degraded', 'disk']]);
    node.handle('who', () => node.instance);
    const second = await joined({ service: 'node-peer', keyPrefix });
    second.handle('who', () => second.instance);
    const who = () => drive({ op: 'call', service: 'node-peer', method: 'who' });
    const fresh = () => drive({ op: 'instances', service: 'node-peer' }) as Promise<unknown[]>;
    await until(async () => (await fresh()).length === 2, 'both are listed');
    const chosen = new Set<unknown>();
    await until(async () => chosen.add(await who()).size === 2, 'both are called');
    await second.setHealth('degraded');
    await fresh();
    for (let i = 0; i < 10; i++) expect(await who()).toBe(node.instance);
    await drive({ op: 'health', health: 'ok' });
  });

  it('end every call when connections are cut at random bytes', async () => {
    const keyPrefix = prefix();
    await python({ key_prefix: keyPrefix });
    const finder = await joined({ service: 'finder', keyPrefix });
    const { port } = (await finder.instances('python-peer'))[0] ?? { port: 0 };
    const relay = await Relay.to(() => port);
    const client = await joined({ service: 'client', keyPrefix, layout: relay.layout(keyPrefix), listen: false });
    let failed = 0;
    const settled = (work: Promise<void>) =>
      work.catch((error: unknown) => {
        if (!(error instanceof MarketrixError)) throw error;
        failed += 1;
      });
    for (let round = 0; round < (SOAK ? 100 : 8); round++) {
      relay.cutAfter = Math.floor(Math.random() ** 2 * 30_000);
      const calls = Array.from({ length: 10 }, async (_, i) => {
        expect(await client.call('python-peer', 'same', [round, i], { timeoutMs: 10_000 })).toEqual([round, i]);
      });
      const echoing = (async () => {
        const stream = await client.connect('python-peer');
        const sending = (async () => {
          for (let i = 0; i < 500; i++) await stream.send(i);
          await stream.end();
        })();
        sending.catch(() => {});
        let next = 0;
        for await (const item of stream) expect(item).toBe(next++);
        expect(next).toBe(500);
      })();
      await Promise.all([...calls, echoing].map(settled));
      relay.cut();
    }
    expect(failed).toBeGreaterThan(0);
    relay.cutAfter = undefined;
    await until(
      () =>
        client.call('python-peer', 'same', 1).then(
          () => true,
          () => false,
        ),
      'calls work again',
    );
  });

  it('ask for the secret', async () => {
    const keyPrefix = prefix();
    await python({ key_prefix: keyPrefix, token: 'open sesame' });
    const stranger = await joined({ service: 'stranger', keyPrefix });
    const friend = await joined({ service: 'friend', keyPrefix, token: 'open sesame' });
    await expect(stranger.call('python-peer', 'same', 1)).rejects.toMatchObject({ kind: 'rejected', code: '401' });
    expect(await friend.call('python-peer', 'same', 1)).toBe(1);
    friend.handle('same', (x: unknown) => x);
    expect(await friend.call('python-peer', 'drive', { op: 'call', service: 'friend', method: 'same', input: 2 })).toBe(
      2,
    );
  });

  it('speak TLS', async () => {
    const keyPrefix = prefix();
    const { key, cert, keyFile, certFile } = selfSigned();
    await python({ key_prefix: keyPrefix, tls: { key: keyFile, cert: certFile } });
    const node = await joined({ service: 'node-peer', keyPrefix, tls: { key, cert, ca: cert } });
    expect(await node.instances('python-peer')).toMatchObject([{ proto: 'h2' }]);
    node.handle('same', (x: unknown) => x);
    expect(
      await node.call('python-peer', 'drive', { op: 'call', service: 'node-peer', method: 'same', input: 'ä' }),
    ).toBe('ä');
  });
});
