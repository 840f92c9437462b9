import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RedisStreamDedup } from '../../src/redis-dedup.js';
import vectors from '../vectors/bus-dedup.json';

describe('RedisStreamDedup', () => {
  it('answers as the vectors say: a hit makes an id the newest', () => {
    expect(vectors.sequences.length).toBeGreaterThan(0);
    for (const { capacityArg, capacity, ops } of vectors.sequences) {
      const dedup = new RedisStreamDedup(capacityArg);
      expect(dedup.capacity).toBe(capacity);
      for (const { id, duplicate, len } of ops) {
        expect(dedup.isDuplicate(id)).toBe(duplicate);
        expect(dedup.len).toBe(len);
      }
    }
  });

  it('clamps and cuts the capacity, and refuses what is none', () => {
    expect(new RedisStreamDedup().capacity).toBe(4096);
    expect(new RedisStreamDedup(null).capacity).toBe(4096);
    expect(new RedisStreamDedup(2.9).capacity).toBe(2);
    expect(new RedisStreamDedup(1e12).capacity).toBe(2 ** 24);
    expect(() => new RedisStreamDedup(-1)).toThrow(RangeError);
    expect(() => new RedisStreamDedup(Number.NaN)).toThrow(RangeError);
    expect(() => new RedisStreamDedup('9' as unknown as number)).toThrow(
      expect.objectContaining({ code: 'NumberExpected' }),
    );
    expect(() => new RedisStreamDedup(1).isDuplicate(5 as unknown as string)).toThrow(
      expect.objectContaining({ code: 'StringExpected' }),
    );
  });

  it('takes the empty string as an id, and forgets everything when cleared', () => {
    const dedup = new RedisStreamDedup(3);
    expect(dedup.isEmpty).toBe(true);
    expect([dedup.isDuplicate(''), dedup.isDuplicate('')]).toEqual([false, true]);
    dedup.clear();
    expect([dedup.len, dedup.isEmpty, dedup.isDuplicate('')]).toEqual([0, true, false]);
  });

  it('behaves as a list of the last ids, newest last', () => {
    const ids = fc.array(fc.integer({ min: 0, max: 12 }).map(String), { maxLength: 80 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), ids, (capacity, sequence) => {
        const dedup = new RedisStreamDedup(capacity);
        let model: string[] = [];
        for (const id of sequence) {
          const seen = model.includes(id);
          model = [...model.filter((other) => other !== id), id].slice(-capacity);
          expect(dedup.isDuplicate(id)).toBe(seen);
          expect(dedup.len).toBe(model.length);
        }
      }),
    );
  });

  it('keeps its pace while it replaces old ids', () => {
    const dedup = new RedisStreamDedup(100_000);
    for (let i = 0; i < 300_000; i++) if (dedup.isDuplicate(`29a7ab1377585449:0:${i}:0`)) throw new Error(`id ${i}`);
    expect(dedup.len).toBe(100_000);
    expect(dedup.isDuplicate('29a7ab1377585449:0:299999:0')).toBe(true);
    expect(dedup.isDuplicate('29a7ab1377585449:0:199999:0')).toBe(false);
  });
});
