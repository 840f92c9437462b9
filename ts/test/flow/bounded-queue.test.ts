import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BoundedQueue } from '../../src/flow/index.js';

describe('bounded queue', () => {
  it('accepts up to its capacity, then says full', () => {
    const queue = new BoundedQueue<number>({ capacity: 2 });
    expect([queue.tryPush(1), queue.tryPush(2), queue.tryPush(3)]).toEqual([true, true, false]);
    expect(queue.tryShift()).toBe(1);
    expect(queue.tryPush(4)).toBe(true);
    expect([queue.tryShift(), queue.tryShift(), queue.tryShift()]).toEqual([2, 4, undefined]);
    expect(queue.size).toBe(0);
  });

  it('lets a producer wait until the consumer made room, and keeps order', async () => {
    const queue = new BoundedQueue<number>({ capacity: 1 });
    await queue.push(1);
    const waiting = [queue.push(2), queue.push(3)];
    expect(queue.waiting).toBe(2);
    expect(queue.tryPush(9)).toBe(false);
    expect(await queue.next()).toEqual({ value: 1, done: false });
    await waiting[0];
    expect(queue.waiting).toBe(1);
    expect(await queue.next()).toEqual({ value: 2, done: false });
    await waiting[1];
    expect(await queue.next()).toEqual({ value: 3, done: false });
  });

  it('hands an item straight to a waiting reader', async () => {
    const queue = new BoundedQueue<string>({ capacity: 1 });
    const first = queue.next();
    const second = queue.next();
    expect([queue.tryPush('a'), queue.tryPush('b'), queue.tryPush('c')]).toEqual([true, true, true]);
    expect(await first).toEqual({ value: 'a', done: false });
    expect(await second).toEqual({ value: 'b', done: false });
    expect(queue.length).toBe(1);
  });

  it('counts sizes, and admits an item larger than the capacity only when empty', () => {
    const queue = new BoundedQueue<string>({ capacity: 10, sizeOf: (text) => text.length });
    expect(queue.tryPush('x'.repeat(50))).toBe(true);
    expect(queue.tryPush('y')).toBe(false);
    queue.tryShift();
    expect(queue.tryPush('123456')).toBe(true);
    expect(queue.tryPush('12345')).toBe(false);
    expect(queue.tryPush('1234')).toBe(true);
    expect(queue.size).toBe(10);
  });

  it('gives what is queued after close, then the end', async () => {
    const queue = new BoundedQueue<number>({ capacity: 4 });
    queue.tryPush(1);
    queue.tryPush(2);
    queue.close();
    const seen: number[] = [];
    for await (const item of queue) seen.push(item);
    expect(seen).toEqual([1, 2]);
    expect(queue.tryPush(3)).toBe(false);
    await expect(queue.push(3)).rejects.toThrow('queue is closed');
  });

  it('gives the reason of close to readers and producers that wait', async () => {
    const reason = new Error('gone');
    const full = new BoundedQueue<number>({ capacity: 1 });
    full.tryPush(1);
    const producer = full.push(2);
    const empty = new BoundedQueue<number>({ capacity: 1 });
    const reader = empty.next();
    full.close(reason);
    empty.close(reason);
    await expect(producer).rejects.toBe(reason);
    await expect(reader).rejects.toBe(reason);
    expect(await full.next()).toEqual({ value: 1, done: false });
    await expect(full.next()).rejects.toBe(reason);
    expect(full.closed).toBe(true);
  });

  it('forgets a producer whose signal aborts, and lets the next one through', async () => {
    const queue = new BoundedQueue<string>({ capacity: 10, sizeOf: (text) => text.length });
    queue.tryPush('12345678');
    const controller = new AbortController();
    const large = queue.push('large item', controller.signal);
    const small = queue.push('s');
    controller.abort(new Error('no longer wanted'));
    await expect(large).rejects.toThrow('no longer wanted');
    await small;
    expect(queue.drain()).toEqual(['12345678', 's']);
    await expect(queue.push('x', controller.signal)).rejects.toThrow('no longer wanted');
  });

  it('drops the rest when a loop is left early', async () => {
    const queue = new BoundedQueue<number>({ capacity: 8 });
    for (let i = 0; i < 8; i++) queue.tryPush(i);
    for await (const item of queue) if (item === 2) break;
    expect([queue.length, queue.closed]).toEqual([0, true]);
  });

  it('keeps order, loses nothing and never exceeds its capacity under any interleaving', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.constantFrom('push', 'try', 'shift', 'next'), { maxLength: 200 }),
        async (capacity, steps) => {
          const queue = new BoundedQueue<number>({ capacity });
          const [pushed, pushes, reads]: [number[], Promise<void>[], Promise<unknown>[]] = [[], [], []];
          const taken: number[] = [];
          let counter = 0;
          const read = () =>
            reads.push(
              queue.next().then((result) => {
                if (!result.done) taken.push(result.value);
              }),
            );
          for (const step of steps) {
            if (step === 'push') {
              pushed.push(counter);
              pushes.push(queue.push(counter++));
            } else if (step === 'try') {
              if (queue.tryPush(counter)) pushed.push(counter);
              counter += 1;
            } else if (step === 'next') read();
            else {
              await Promise.resolve();
              const item = queue.tryShift();
              if (item !== undefined) taken.push(item);
            }
            expect(queue.size).toBeLessThanOrEqual(capacity);
            expect(queue.size).toBe(queue.length);
          }
          for (let i = 0; i < steps.length; i++) read();
          await Promise.all(pushes);
          queue.close();
          await Promise.all(reads);
          expect(taken).toEqual(pushed);
        },
      ),
    );
  });

  it('stays quick when it is long', () => {
    const queue = new BoundedQueue<number>({ capacity: 1e6 });
    for (let i = 0; i < 300_000; i++) queue.tryPush(i);
    let inOrder = 0;
    for (let i = 0; i < 300_000; i++) inOrder += queue.tryShift() === i ? 1 : 0;
    expect(inOrder).toBe(300_000);
  });

  it('refuses a capacity of zero', () => {
    expect(() => new BoundedQueue({ capacity: 0 })).toThrow('capacity');
  });
});
