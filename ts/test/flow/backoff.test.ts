import { describe, expect, it } from 'vitest';
import { Backoff, delay } from '../../src/flow/index.js';

describe('backoff', () => {
  it('doubles from the base to the ceiling, and starts again after a success', () => {
    const backoff = new Backoff({ baseMs: 100, maxMs: 1000, jitter: 'none' });
    expect([1, 2, 3, 4, 5, 6].map(() => backoff.next())).toEqual([100, 200, 400, 800, 1000, 1000]);
    expect(backoff.attempts).toBe(6);
    backoff.reset();
    expect(backoff.next()).toBe(100);
  });

  it('spreads over the whole delay with full jitter and around it with a fraction', () => {
    const values = [0, 0.5, 0.999];
    const random = () => values.shift() ?? 0;
    const full = new Backoff({ baseMs: 100, maxMs: 1000, random });
    expect([full.next(), full.next(), Math.round(full.next())]).toEqual([0, 100, 400]);
    const part = new Backoff({ baseMs: 100, maxMs: 1000, factor: 1, jitter: 0.1, random: () => 0 });
    expect(part.next()).toBeCloseTo(90);
  });

  it('stays at the ceiling after thousands of attempts', () => {
    const backoff = new Backoff({ baseMs: 1, maxMs: 50, jitter: 'none' });
    for (let i = 0; i < 5000; i++) backoff.next();
    expect(backoff.next()).toBe(50);
  });

  it.each([
    [{ baseMs: 0, maxMs: 1 }, 'baseMs'],
    [{ baseMs: 10, maxMs: 1 }, 'maxMs'],
    [{ baseMs: 1, maxMs: 1, factor: 0.5 }, 'factor'],
    [{ baseMs: 1, maxMs: 1, jitter: 2 }, 'jitter'],
    [{ baseMs: Number.NaN, maxMs: 1 }, 'baseMs'],
  ])('refuses %j', (options, word) => {
    expect(() => new Backoff(options)).toThrow(word);
  });
});

describe('delay', () => {
  it('resolves after a while', async () => {
    await expect(delay(1)).resolves.toBeUndefined();
    await expect(delay(1, { ref: true, signal: new AbortController().signal })).resolves.toBeUndefined();
  });

  it('rejects with the reason of the signal, before or during the wait', async () => {
    const reason = new Error('stopped');
    await expect(delay(60_000, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    const wait = delay(60_000, { signal: controller.signal });
    controller.abort(reason);
    await expect(wait).rejects.toBe(reason);
  });
});
