import { describe, expect, it } from 'vitest';
import { Outbox, REPEAT_AFTER_MS, SENT_PER_SECOND } from '../../src/capabilities/index.js';

class Bench {
  ms = 0;
  works = true;
  readonly sent: { peer: bigint; bytes: Uint8Array; ms: number }[] = [];
  readonly outbox = new Outbox({
    clock: { wallNs: () => 0n, monotonicMs: () => this.ms },
    send: (peer, bytes) => {
      this.sent.push({ peer, bytes, ms: this.ms });
      return this.works;
    },
  });

  /** Polls at each deadline until there is none, or until the time. */
  run(untilMs: number): void {
    for (;;) {
      const deadline = this.outbox.deadline();
      if (deadline === undefined || deadline > untilMs) break;
      this.ms = Math.max(this.ms, deadline);
      this.outbox.poll();
    }
    this.ms = untilMs;
  }
}

const A = Uint8Array.of(1);
const B = Uint8Array.of(2);

describe('announcements on their way out', () => {
  it('go once to a peer that acknowledges, and again with growing gaps to one that does not', () => {
    const bench = new Bench();
    bench.outbox.open(1n, true);
    bench.outbox.open(2n, false);
    for (const peer of [1n, 2n, 3n]) bench.outbox.add(peer, 7n, A);
    bench.run(100_000);
    const times = (peer: bigint) => bench.sent.filter((one) => one.peer === peer).map(({ ms }) => ms);
    expect(times(1n)).toEqual([0]);
    expect(times(2n)).toEqual([0, 1000, 4000, 13_000]);
    expect(times(3n), 'no session').toEqual([]);
    expect(bench.outbox.size).toBe(0);
    expect(REPEAT_AFTER_MS).toEqual([1000, 3000, 9000]);
  });

  it('are not said again once a newer one of the same node was, nor in a later session', () => {
    const bench = new Bench();
    bench.outbox.open(2n, false);
    bench.outbox.add(2n, 7n, A);
    bench.run(500);
    bench.outbox.add(2n, 7n, B);
    bench.run(5000);
    expect(bench.sent.map(({ bytes, ms }) => [bytes, ms])).toEqual([
      [A, 0],
      [B, 500],
      [B, 1500],
      [B, 4500],
    ]);
    bench.outbox.open(2n, false);
    bench.run(100_000);
    expect(bench.sent).toHaveLength(4);
  });

  it('are tried again when the session could not take them', () => {
    const bench = new Bench();
    bench.outbox.open(1n, true);
    bench.works = false;
    bench.outbox.add(1n, 7n, A);
    bench.run(900);
    bench.works = true;
    bench.run(100_000);
    expect(bench.sent.map(({ ms }) => ms)).toEqual([0, 1000]);
  });

  it('keep the rate that the other end takes; of those that wait the newest of each node goes', () => {
    const bench = new Bench();
    bench.outbox.open(1n, true);
    for (let origin = 0; origin < 2.5 * SENT_PER_SECOND; origin++) bench.outbox.add(1n, BigInt(origin), A);
    expect(bench.sent).toHaveLength(SENT_PER_SECOND);
    const last = BigInt(2.5 * SENT_PER_SECOND - 1);
    bench.outbox.add(1n, last, B);
    bench.run(1000);
    expect(bench.sent.length).toBeGreaterThanOrEqual(1.9 * SENT_PER_SECOND);
    expect(bench.sent.length).toBeLessThanOrEqual(2 * SENT_PER_SECOND);
    bench.run(2000);
    expect(bench.sent).toHaveLength(2.5 * SENT_PER_SECOND);
    expect(bench.sent.at(-1)?.bytes).toBe(B);
    expect(bench.outbox.deadline()).toBeUndefined();
  });

  it('wait for a silent peer, of each node the newest only', () => {
    const bench = new Bench();
    for (const [peer, acknowledges] of [
      [1n, true],
      [2n, false],
    ] as const) {
      bench.outbox.open(peer, acknowledges);
      bench.outbox.add(peer, 7n, A);
      bench.outbox.pause(peer);
      bench.outbox.add(peer, 8n, A);
      bench.outbox.add(peer, 8n, B);
    }
    bench.run(60_000);
    expect(bench.sent).toHaveLength(2);
    bench.outbox.resume(1n);
    bench.outbox.resume(2n);
    bench.run(61_000);
    const later = (peer: bigint) =>
      bench.sent.filter((one) => one.peer === peer && one.ms > 0).map(({ bytes }) => bytes);
    expect(later(1n)).toEqual([B]);
    // The other one may not have got the first.
    expect(later(2n)).toEqual([B, A]);
  });

  it('take a bounded amount of memory, whatever there is to say', () => {
    const bench = new Bench();
    bench.outbox.open(1n, true);
    bench.outbox.open(2n, false);
    for (let origin = 0; origin < 200_000; origin++) {
      bench.outbox.add(1n, BigInt(origin), A);
      bench.ms += 2;
      bench.outbox.add(2n, BigInt(origin), A);
    }
    expect(bench.outbox.size).toBeLessThanOrEqual(3 * 65_536);
    bench.outbox.close(1n);
    bench.outbox.close(2n);
    bench.run(1e7);
    expect(bench.outbox.size).toBe(0);
  });
});
