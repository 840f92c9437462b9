import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { BackpressureError, NotConnectedError } from '../../src/index.js';
import { MeshNode } from '../../src/mesh.js';

const PSK = '42'.repeat(32);

it('MeshNode gives error classes and hides its lower node', async () => {
  const [a, b] = await Promise.all([0, 1].map(() => MeshNode.create({ bindAddr: '127.0.0.1:0', psk: PSK })));
  if (!a || !b) throw new Error('unreachable');
  try {
    await Promise.all([a.start(), b.start()]);
    await a.connect(b.localAddress(), b.publicKey(), b.nodeId());
    const stream = a.openStream(b.nodeId(), { streamId: 1n, windowBytes: 100 });
    await expect(a.sendOnStream(stream, [Buffer.alloc(200)])).rejects.toThrow(BackpressureError);
    await expect(a.sendWithRetry(stream, [Buffer.alloc(200)], 1)).rejects.toMatchObject({
      name: 'BackpressureError',
      kind: 'backpressure',
      message: 'stream would block: stream queue full',
    });
    a.closeStream(b.nodeId(), 1n);
    await expect(a.sendOnStream(stream, [Buffer.from('x')])).rejects.toThrow(NotConnectedError);
    expect(Object.keys(a)).toEqual([]);
    expect(a._native.nodeId()).toBe(a.nodeId());
    expect(() => new (MeshNode as unknown as new () => MeshNode)()).toThrow(
      new TypeError('MeshNode has no public constructor; use await MeshNode.create(config)'),
    );
    expect(a.entityId()).toHaveLength(32);
    expect(new BackpressureError().message).toBe('stream would block (queue full)');
    expect(new NotConnectedError().message).toBe('stream not connected');
  } finally {
    await Promise.all([a.shutdown(), b.shutdown()]);
  }
});

it('ref keeps the process alive until unref', () => {
  const dist = join(import.meta.dirname, '..', '..', '..', 'dist', 'mesh', 'index.js');
  const program = `const { MeshNode } = require(${JSON.stringify(dist)});
MeshNode.create({ bindAddr: '127.0.0.1:0', psk: '42'.repeat(32) }).then((node) => {
  node.ref().ref();
  setTimeout(() => { console.log('alive'); node.unref(); }, 50).unref();
});`;
  const done = spawnSync(process.execPath, ['-e', program], { encoding: 'utf8', timeout: 20_000 });
  expect([done.stdout.trim(), done.status]).toEqual(['alive', 0]);
});

it('an idle node lets the process end', () => {
  const dist = join(import.meta.dirname, '..', '..', '..', 'dist', 'mesh', 'index.js');
  const program = `const { NetMesh } = require(${JSON.stringify(dist)});
NetMesh.create({ bindAddr: '127.0.0.1:0', psk: '42'.repeat(32) }).then((n) => n.start()).then(() => console.log('idle'));`;
  for (const backend of ['addon', 'wasm']) {
    const env = { ...process.env, MESHRING_BACKEND: backend };
    const done = spawnSync(process.execPath, ['-e', program], { env, encoding: 'utf8', timeout: 20_000 });
    expect([backend, done.stdout.trim(), done.status]).toEqual([backend, 'idle', 0]);
  }
});
