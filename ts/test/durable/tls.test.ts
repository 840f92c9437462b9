import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { JetStreamTransport } from '../../src/bus/jetstream/index.js';
import { RedisTransport } from '../../src/bus/redis/index.js';
import { batch, readAll, started, uniquePrefix } from './batches.js';
import { freePort, noNats, noRedis, startNats, startRedis } from './servers.js';

/** A certificate that nobody has signed, and its key; undefined without openssl. */
function certificate(folder: string): { cert: string; key: string } | undefined {
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  const name = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  const args = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  try {
    execFileSync('openssl', [...args, ...name, '-keyout', key, '-out', cert], { stdio: 'ignore' });
    return { cert, key };
  } catch {
    return undefined;
  }
}

const folder = mkdtempSync(join(tmpdir(), 'meshring-tls-'));
const files = certificate(folder);
const missing = files ? undefined : 'openssl is not installed';
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.skipIf(missing ?? noRedis)(`Redis over TLS${missing ? ` (${missing})` : ''}`, () => {
  let port = 0;
  let stop = async () => undefined as unknown;
  beforeAll(async () => {
    const { cert = '', key = '' } = files ?? {};
    port = await freePort();
    const tls = [
      '--tls-port',
      String(port),
      '--tls-cert-file',
      cert,
      '--tls-key-file',
      key,
      '--tls-auth-clients',
      'no',
    ];
    const server = await startRedis([...tls, '--tls-ca-cert-file', cert]);
    stop = () => server.stop();
  });
  afterAll(() => stop());

  it('refuses a certificate that it cannot check, and takes any with #insecure', async () => {
    const strict = new RedisTransport({ url: `rediss://127.0.0.1:${port}` });
    await expect(started(strict)).rejects.toThrow(/^connection error: self-signed certificate/);
    await strict.shutdown();
    const redis = await started(
      new RedisTransport({ url: `rediss://127.0.0.1:${port}#insecure`, prefix: uniquePrefix() }),
    );
    await redis.onBatch(batch(0, 0, ['1', '2']));
    expect(await readAll(redis, 0)).toEqual(['1', '2']);
    await redis.shutdown();
  });
});

describe.skipIf(missing ?? noNats)(`NATS over TLS${missing ? ` (${missing})` : ''}`, () => {
  it('upgrades the connection and checks the certificate', async () => {
    const { cert = '', key = '' } = files ?? {};
    const server = await startNats(['--tls', '--tlscert', cert, '--tlskey', key], true);
    // The server demands TLS: the scheme need not.
    for (const scheme of ['tls', 'nats']) {
      const jet = new JetStreamTransport({ url: `${scheme}://127.0.0.1:${server.port}` });
      await expect(started(jet)).rejects.toThrow(/^connection error: self-signed certificate/);
      await jet.shutdown();
    }
    // What a process trusts is decided when it starts.
    const code = `
      import { NetNode } from 'meshring';
      const node = await NetNode.create({ shards: 1, transport: { type: 'jetstream', url: 'tls://localhost:${server.port}' } });
      node.emit({ a: 1 });
      await node.flush();
      console.log((await node.poll({ limit: 1 })).events[0].raw);
      await node.shutdown();
    `;
    const out = execFileSync(process.execPath, ['--input-type=module', '-e', code], {
      cwd: join(import.meta.dirname, '..', '..', '..'),
      env: { ...process.env, NODE_EXTRA_CA_CERTS: cert },
      encoding: 'utf8',
    });
    expect(out).toBe('{"a":1}\n');
    await server.stop();
  });
});
