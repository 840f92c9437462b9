import { expect, it } from 'vitest';
import { MeshNode } from '../../src/mesh.js';

it('a mesh node says in the call that a browser has no sockets', async () => {
  await expect(MeshNode.create({ bindAddr: '127.0.0.1:0', psk: '42'.repeat(32) })).rejects.toMatchObject({
    kind: 'unsupported',
    message: 'MeshNode creation failed: connection error: bind failed: this platform has no UDP sockets',
  });
});
