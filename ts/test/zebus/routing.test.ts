import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { keyMatches, SubscriptionTree } from '../../src/zebus/routing.js';
import vectors from '../vectors/zebus-routing.json' with { type: 'json' };

interface Case {
  subscriptions: [string, string[]][];
  routing: string[];
  peers: string[];
}

describe('routing index', () => {
  it('agrees with every recorded case', () => {
    for (const { subscriptions, routing, peers } of vectors.cases as unknown as Case[]) {
      const tree = new SubscriptionTree<string>();
      for (const [peer, key] of subscriptions) tree.add(peer, key);
      expect([...tree.lookup(routing)].sort()).toEqual(peers);
    }
  });

  it.each([
    ['a.*', ['a', 'b'], true],
    ['a', ['a', 'b'], false],
    ['*', ['a', 'b'], false],
    ['a.#', ['a', 'b', 'c'], true],
    ['a.#', ['a'], false],
    ['a.#.b', ['a', 'x'], true],
    ['#', ['a'], true],
    ['', ['a', 'b'], true],
    ['a.b', [], true],
    ['True', ['true'], true],
    ['b', [['a', 'b']], true],
  ] as const)('key %j, content %j: %s', (key, content, expected) => {
    expect(keyMatches(key === '' ? [] : key.split('.'), content)).toBe(expected);
  });

  it('what is removed is gone, what is added twice is there once: a tree is the set of its keys', () => {
    const part = fc.constantFrom('a', 'b', '*', '#');
    const entry = fc.tuple(fc.constantFrom('P0', 'P1', 'P2'), fc.array(part, { maxLength: 3 }));
    const content = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 3 });
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), entry), { maxLength: 30 }), content, (steps, routing) => {
        const tree = new SubscriptionTree<string>();
        const kept = new Map<string, [string, string[]]>();
        for (const [add, [peer, key]] of steps) {
          const normal = key.length === 1 && key[0] === '#' ? [] : key;
          const text = `${peer} ${normal.join('.')}`;
          if (add) {
            tree.add(peer, key);
            kept.set(text, [peer, key]);
          } else {
            tree.remove(peer, key);
            kept.delete(text);
          }
        }
        expect(tree.isEmpty).toBe(kept.size === 0);
        const expected = new Set(
          [...kept.values()].filter(([, key]) => keyMatches(key, routing)).map(([peer]) => peer),
        );
        expect([...tree.lookup(routing)].sort()).toEqual([...expected].sort());
      }),
    );
  });
});
