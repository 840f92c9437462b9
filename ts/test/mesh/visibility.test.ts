/** Who sees which channel by its subnet: every row of the table, through subscribe and publish. */
import { afterEach, describe, expect, it } from 'vitest';
import { Nodes, until } from './nodes.js';

const subnetPolicy = {
  rules: [
    { tagPrefix: 'region:', level: 0, values: { us: 3 } },
    { tagPrefix: 'fleet:', level: 1, values: { blue: 7, green: 8 } },
    { tagPrefix: 'unit:', level: 2, values: { alpha: 2 } },
  ],
};
const VISIBILITIES = ['global', 'subnet-local', 'parent-visible', 'exported'] as const;
const blue = { levels: [3, 7] };

interface Row {
  readonly owner: object;
  readonly tags: readonly string[] | undefined;
  readonly sees: readonly (typeof VISIBILITIES)[number][];
}

const us = ['region:us'];
const ROWS: Record<string, Row> = {
  'global without a policy: anything': {
    owner: {},
    tags: [...us, 'fleet:blue'],
    sees: ['global', 'subnet-local', 'parent-visible'],
  },
  'global without a policy: nothing announced': {
    owner: {},
    tags: undefined,
    sees: ['global', 'subnet-local', 'parent-visible'],
  },
  '3.7 without a policy: us, blue': {
    owner: { subnet: blue },
    tags: [...us, 'fleet:blue'],
    sees: ['global', 'parent-visible'],
  },
  '3.7: us, blue': {
    owner: { subnet: blue, subnetPolicy },
    tags: [...us, 'fleet:blue'],
    sees: ['global', 'subnet-local', 'parent-visible'],
  },
  '3.7: us': { owner: { subnet: blue, subnetPolicy }, tags: us, sees: ['global', 'parent-visible'] },
  '3.7: us, green': { owner: { subnet: blue, subnetPolicy }, tags: [...us, 'fleet:green'], sees: ['global'] },
  '3.7: us, blue, alpha': {
    owner: { subnet: blue, subnetPolicy },
    tags: [...us, 'fleet:blue', 'unit:alpha'],
    sees: ['global'],
  },
  '3.7: no tags': { owner: { subnet: blue, subnetPolicy }, tags: [], sees: ['global', 'parent-visible'] },
  '3.7: nothing announced': {
    owner: { subnet: blue, subnetPolicy },
    tags: undefined,
    sees: ['global', 'parent-visible'],
  },
  'global: us, blue': { owner: { subnetPolicy }, tags: [...us, 'fleet:blue'], sees: ['global'] },
  '3.7, unknown peers denied: nothing announced': {
    owner: { subnet: blue, subnetPolicy, unknownSubnet: 'deny' },
    tags: undefined,
    sees: ['global'],
  },
};

describe.each(['addon', 'wasm'] as const)('visibility on %s', (backend) => {
  const nodes = new Nodes(backend);
  afterEach(() => nodes.close());

  it.each(Object.entries(ROWS))('%s', async (_name, { owner, tags, sees }) => {
    const [publisher, subscriber] = await nodes.pair(owner);
    for (const visibility of VISIBILITIES) publisher.registerChannel({ name: visibility, visibility });
    if (tags) {
      await subscriber.announceCapabilities({ tags: ['here', ...tags] });
      await until(() => publisher.findNodes({ requireTags: ['here'] }).length === 1);
    }
    const seen: string[] = [];
    for (const name of VISIBILITIES) {
      const asked = await subscriber.subscribeChannel(publisher.nodeId(), name).then(
        () => undefined,
        (error: Error) => error,
      );
      if (asked) expect(asked.name).toBe('ChannelAuthError');
      else seen.push(name);
    }
    expect(seen).toEqual(VISIBILITIES.filter((name) => sees.includes(name)));
    for (const name of VISIBILITIES) {
      expect([name, (await publisher.publish(name, Buffer.from('x'))).delivered]).toEqual([
        name,
        sees.includes(name) ? 1 : 0,
      ]);
    }
    // What is hidden is hidden from wildcards too.
    await subscriber.subscribeChannel(publisher.nodeId(), '*');
    const joined = subscriber.subscriptions().map(({ channel }) => channel);
    expect(new Set(joined)).toEqual(new Set([...seen, '*']));
  });
});
