import { expect, it, vi } from 'vitest';

// No two names with equal 64-bit hashes are at hand: the hash is made to collide.
vi.mock('../../src/channel-name/index.js', async (original) => ({
  ...(await original<typeof import('../../src/channel-name/index.js')>()),
  canonicalChannelHash: (name: string) => BigInt(name.length),
}));

it('two names behind one hash: by the hash neither is found, by name both', async () => {
  const { ChannelRegistry } = await import('../../src/channels/index.js');
  const registry = new ChannelRegistry();
  registry.register({ name: 'a', requireToken: true });
  expect(registry.byHash(1n)?.name).toBe('a');
  registry.register({ name: 'b' });
  expect(registry.byHash(1n)).toBeUndefined();
  expect([registry.get('a')?.requireToken, registry.get('b')?.requireToken]).toEqual([true, undefined]);
  registry.unregister('a');
  expect(registry.byHash(1n)?.name).toBe('b');
});
