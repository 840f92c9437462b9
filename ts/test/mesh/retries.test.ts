import { describe, expect, it } from 'vitest';
import { Retries } from '../../src/mesh/control/retries.js';

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('attempts to get subscriptions back', () => {
  it('are never refused often enough that the publisher pauses this node', async () => {
    let now = 0;
    const retries = new Retries(() => now);
    let made = 0;
    const refused = async () => {
      made += 1;
      return 'refused' as const;
    };
    for (let n = 0; n < 40; n++) retries.add(1n, refused);
    await settled();
    expect(made).toBe(15);
    // Another publisher counts for itself.
    retries.add(2n, refused);
    await settled();
    expect(made).toBe(16);
    now = 59_999;
    retries.add(1n, refused);
    await settled();
    expect(made).toBe(16);
    now = 60_000;
    retries.add(1n, refused);
    await settled();
    expect(made).toBe(31);
    retries.close();
  });

  it('begin anew with a session: a publisher that was restarted has counted nothing', async () => {
    const retries = new Retries(() => 0);
    let made = 0;
    const refused = async () => {
      made += 1;
      return 'refused' as const;
    };
    for (let n = 0; n < 20; n++) retries.add(1n, refused);
    await settled();
    expect(made).toBe(15);
    retries.reset(2n);
    retries.reset(1n);
    await settled();
    expect(made).toBe(20);
    retries.close();
  });

  it('go on at once after a success, and more at a time with each', async () => {
    const retries = new Retries(() => 0);
    const open: (() => void)[] = [];
    let made = 0;
    const accepted = () => {
      made += 1;
      return new Promise<'accepted'>((resolve) => open.push(() => resolve('accepted')));
    };
    for (let n = 0; n < 14; n++) retries.add(1n, async () => 'refused' as const);
    await settled();
    for (let n = 0; n < 200; n++) retries.add(1n, accepted);
    // One more refusal could be the one too many.
    expect(made).toBe(1);
    const rounds: number[] = [];
    while (open.length > 0) {
      rounds.push(open.length);
      for (const end of open.splice(0)) end();
      await settled();
    }
    expect(made).toBe(200);
    expect(rounds.slice(0, 5)).toEqual([1, 9, 18, 36, 64]);
  });
});
