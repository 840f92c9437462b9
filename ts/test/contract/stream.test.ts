import { afterEach, describe, expect, it, vi } from 'vitest';
import type { PollSource } from '../../src/bus/feed.js';
import { WAIT } from '../../src/bus/wait.js';
import { TypedChannel } from '../../src/channel.js';
import { EventStream, TypedEventStream } from '../../src/stream.js';
import { ForeignBus, WakingBus } from './bus.js';

const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, i) => from + i);

/** Takes `count` values from a stream and leaves it by `break`. */
async function take<T>(stream: AsyncIterable<T>, count: number): Promise<T[]> {
  const out: T[] = [];
  if (count === 0) return out;
  for await (const value of stream) {
    out.push(value);
    if (out.length === count) break;
  }
  return out;
}

afterEach(() => {
  vi.useRealTimers();
});

describe.each([
  ['a bus that wakes its streams', () => new WakingBus()],
  ['a foreign bus', () => new ForeignBus()],
])('a stream of %s', (_, make) => {
  it('goes on with the next event after break', async () => {
    const bus = make();
    bus.emit(...numbers(50));
    const stream = new TypedEventStream<number>(bus, { limit: 10 });
    const got = [];
    for (const count of [3, 1, 6, 10, 15]) got.push(...(await take(stream, count)));
    expect(got).toEqual(numbers(35));
  });

  it('knows its position event by event', async () => {
    const bus = make();
    bus.emit(...numbers(25));
    const stream = new TypedEventStream<number>(bus, { limit: 10 });
    expect(stream.cursor).toBeUndefined();
    for (const count of [0, 1, 4, 5, 7]) {
      const before = (await take(stream, count)).length;
      expect(before).toBe(count);
      const [next] = await take(stream, 1);
      const [same] = await take(new TypedEventStream<number>(bus, { cursor: stream.cursor ?? '' }), 1);
      expect(same).toBe((next ?? 0) + 1);
    }
  });

  it('shares the events between two loops', async () => {
    const bus = make();
    bus.emit(...numbers(100));
    const stream = new TypedEventStream<number>(bus, { limit: 7 });
    const [a, b] = await Promise.all([take(stream, 50), take(stream, 50)]);
    expect([...a, ...b].sort((x, y) => x - y)).toEqual(numbers(100));
    expect(a).toEqual(a.toSorted((x, y) => x - y));
  });

  it('delivers later events to loops that wait, each to one', async () => {
    const bus = make();
    const stream = new TypedEventStream<number>(bus);
    const first = stream[Symbol.asyncIterator]();
    const second = stream[Symbol.asyncIterator]();
    const pending = [first.next(), second.next(), first.next()];
    bus.emit(1, 2, 3);
    const values = (await Promise.all(pending)).map(({ value }) => value);
    expect(values).toEqual([1, 2, 3]);
  });

  it('finds an event behind 400 others of its channel, with small pages', async () => {
    const bus = make();
    for (let i = 0; i < 400; i++) bus.emit({ _channel: 'other', i });
    const channel = new TypedChannel<{ i: number }>(bus, 'mine');
    channel.publish({ i: 7 });
    const [event] = await take(channel.subscribe({ limit: 5 }), 1);
    expect(event).toEqual({ i: 7, _channel: 'mine' });
  });

  it('ends when it is stopped: while it waits, while a poll is pending, before and after', async () => {
    const bus = make();
    bus.emit(1, 2);
    const stream = new EventStream(bus);
    const iterator = stream[Symbol.asyncIterator]();
    await iterator.next();
    await iterator.next();
    const waiting = iterator.next();
    await vi.waitFor(() => expect(bus.requests.length).toBeGreaterThan(0));
    stream.stop();
    expect(await waiting).toEqual({ done: true, value: undefined });
    expect(await iterator.next()).toEqual({ done: true, value: undefined });
    expect(await take(stream, 1)).toEqual([]);

    const other = new EventStream(bus);
    bus.gate = new Promise(() => {});
    const pending = other[Symbol.asyncIterator]().next();
    other.stop();
    expect(await pending).toEqual({ done: true, value: undefined });
  });

  it('leaves events unread that were fetched and not yielded when it is stopped', async () => {
    const bus = make();
    bus.emit(...numbers(5));
    const stream = new TypedEventStream<number>(bus);
    const got = [];
    for await (const value of stream) {
      got.push(value);
      if (value === 1) stream.stop();
    }
    expect(got).toEqual([0, 1]);
    expect(await take(new TypedEventStream(bus, { cursor: stream.cursor ?? '' }), 3)).toEqual([2, 3, 4]);
  });

  it('ends when its signal aborts', async () => {
    const bus = make();
    const controller = new AbortController();
    const stream = new EventStream(bus, { signal: controller.signal });
    const pending = stream[Symbol.asyncIterator]().next();
    controller.abort();
    expect(await pending).toEqual({ done: true, value: undefined });
    expect(await take(new EventStream(bus, { signal: controller.signal }), 1)).toEqual([]);
  });

  it('throws the error of a poll from the loop and tries the same position again', async () => {
    const bus = make();
    bus.emit(...numbers(6));
    const stream = new TypedEventStream<number>(bus, { limit: 3 });
    expect(await take(stream, 3)).toEqual([0, 1, 2]);
    bus.failure = new Error('store is away');
    await expect(take(stream, 1)).rejects.toThrow('store is away');
    expect(await take(stream, 3)).toEqual([3, 4, 5]);
  });

  it.each([
    [{ filter: '{"$foo":1}' }, 'Invalid filter: unknown operator "$foo"'],
    [{ cursor: 'nonsense' }, 'Poll failed: invalid cursor: '],
    [{ ordering: 'size' as 'none' }, 'Invalid ordering: size'],
  ])('throws what is wrong with %j from the loop', async (options, message) => {
    await expect(take(new EventStream(make(), options), 1)).rejects.toThrow(message);
  });

  it('throws what a parse function throws, and goes on behind that event', async () => {
    const bus = make();
    bus.emit(...numbers(4));
    const stream = new TypedEventStream<number>(bus, {}, (raw) => {
      if (raw === '1') throw new RangeError('not one');
      return Number(raw);
    });
    await expect(take(stream, 4)).rejects.toThrow(RangeError);
    expect(await take(stream, 2)).toEqual([2, 3]);
    const waiting = stream[Symbol.asyncIterator]().next();
    bus.emit(1, 5);
    await expect(waiting).rejects.toThrow('not one');
    expect(await take(stream, 1)).toEqual([5]);
  });

  it('ends normally, after the events at hand, when the bus is shut down', async () => {
    const bus = make();
    bus.emit(...numbers(5));
    const got = [];
    for await (const value of new TypedEventStream<number>(bus)) {
      got.push(value);
      bus.closed = true;
    }
    expect(got).toEqual(numbers(5));
  });

  it('fetches nothing while its consumer works', async () => {
    const bus = make();
    bus.emit(...numbers(100));
    const stream = new EventStream(bus, { limit: 10 });
    let taken = 0;
    for await (const _event of stream) {
      taken += 1;
      await new Promise((resolve) => setTimeout(resolve));
      expect(bus.requests.length).toBeLessThanOrEqual(1 + Math.floor(taken / 10));
      if (taken === 50) break;
    }
  });

  it('starts with events after its creation when asked to', async () => {
    const bus = make();
    bus.emit(...numbers(2500));
    const stream = new TypedEventStream<string>(bus, { fromNow: true });
    await vi.waitFor(() => expect(bus instanceof WakingBus || bus.requests.length === 3).toBe(true));
    bus.emit('later');
    expect(await take(stream, 1)).toEqual(['later']);
  });

  it('passes its filter on as text, and none for the empty one', async () => {
    const bus = make();
    bus.emit({ a: 1 });
    await take(new EventStream(bus, { filter: { path: 'a', value: 1 } }), 1);
    await take(new EventStream(bus, { filter: '' }), 1);
    expect(bus.requests.map((request) => request.filter)).toEqual(['{"path":"a","value":1}', undefined]);
  });
});

describe('a stream that waits', () => {
  it('polls only when the bus has woken it', async () => {
    const bus = new WakingBus();
    bus.emit(1);
    const iterator = new TypedEventStream<number>(bus)[Symbol.asyncIterator]();
    expect((await iterator.next()).value).toBe(1);
    for (const value of [2, 3, 4]) {
      const polls = bus.requests.length;
      const next = iterator.next();
      await vi.waitFor(() => expect(bus.sleeping).toBe(1));
      bus.emit(value);
      expect((await next).value).toBe(value);
      expect(bus.requests.length).toBe(polls + 1);
    }
  });

  it('is left by return: nothing waits for it any more', async () => {
    const bus = new WakingBus();
    const iterator = new EventStream(bus)[Symbol.asyncIterator]();
    const next = iterator.next();
    await vi.waitFor(() => expect(bus.sleeping).toBe(1));
    await iterator.return?.();
    expect(await next).toEqual({ done: true, value: undefined });
    await vi.waitFor(() => expect(bus.sleeping).toBe(0));
  });

  it('ends when the bus is shut down', async () => {
    const bus = new WakingBus();
    const next = new EventStream(bus)[Symbol.asyncIterator]().next();
    await vi.waitFor(() => expect(bus.sleeping).toBe(1));
    bus.shutdown();
    expect(await next).toEqual({ done: true, value: undefined });
  });
});

describe('a stream of a bus that must be polled', () => {
  it('also when the bus has a way to wait but not for this store', async () => {
    vi.useFakeTimers();
    const bus: PollSource = new ForeignBus();
    let asked = 0;
    bus[WAIT] = async () => {
      asked += 1;
      return false;
    };
    const next = new EventStream(bus)[Symbol.asyncIterator]().next();
    await vi.advanceTimersByTimeAsync(400);
    expect(asked).toBe(8);
    (bus as ForeignBus).emit(1);
    await vi.advanceTimersByTimeAsync(100);
    expect((await next).value).toMatchObject({ raw: '1' });
  });

  it('is what a stream falls back to when it is woken for nothing', async () => {
    vi.useFakeTimers();
    const bus = new ForeignBus();
    (bus as PollSource)[WAIT] = async () => true;
    const stream = new EventStream(bus);
    const next = stream[Symbol.asyncIterator]().next();
    await vi.advanceTimersByTimeAsync(1000);
    expect(bus.requests.length).toBeLessThan(30);
    stream.stop();
    await next;
  });

  it('waits twice as long after each empty page, up to the limit, and starts again with an event', async () => {
    vi.useFakeTimers();
    const bus = new ForeignBus();
    const times: number[] = [];
    const poll = bus.poll.bind(bus);
    bus.poll = (request) => {
      times.push(performance.now());
      return poll(request);
    };
    const waits = () => times.slice(1).map((time, i) => Math.round(time - (times[i] ?? 0)));
    const iterator = new EventStream(bus)[Symbol.asyncIterator]();
    const next = iterator.next();
    await vi.advanceTimersByTimeAsync(400);
    expect(waits()).toEqual([5, 10, 20, 40, 80, 100, 100]);
    bus.emit(1);
    await vi.advanceTimersByTimeAsync(100);
    await next;
    times.splice(0, times.length - 1);
    const second = iterator.next();
    await vi.advanceTimersByTimeAsync(20);
    expect(waits().slice(1)).toEqual([5, 10]);
    await iterator.return?.();
    await second;
    expect(vi.getTimerCount()).toBe(0);
  });

  it('polls on at once behind a full page', async () => {
    vi.useFakeTimers();
    const bus = new ForeignBus();
    bus.emit(...numbers(100));
    const iterator = new EventStream(bus, { limit: 10 })[Symbol.asyncIterator]();
    for (let i = 0; i < 100; i++) await iterator.next();
    expect(bus.requests).toHaveLength(10);
  });
});

describe('options of a stream', () => {
  it.each([
    [{ limit: 0 }, 'subscribe: limit must be an integer >= 1, got 0'],
    [{ limit: Number.NaN }, 'subscribe: limit must be an integer >= 1, got NaN'],
    [{ limit: 1.5 }, 'subscribe: limit must be an integer >= 1, got 1.5'],
    [{ pollIntervalMs: Number.NaN }, 'subscribe: pollIntervalMs must be a number >= 0, got NaN'],
    [{ maxBackoffMs: -1 }, 'subscribe: maxBackoffMs must be a number >= 0, got -1'],
    [{ fromNow: true, cursor: 'e30=' }, 'subscribe: cursor and fromNow exclude each other'],
  ])('%j are refused', (options, message) => {
    expect(() => new EventStream(new ForeignBus(), options)).toThrow(message);
  });
});

describe('a stream', () => {
  it('of something that cannot be polled is refused', () => {
    expect(() => new EventStream({} as PollSource)).toThrow('subscribe: bus must be a bus with poll, got Object');
    expect(() => new TypedEventStream(null as unknown as PollSource)).toThrow('got null');
  });
});

describe('a typed channel', () => {
  it('marks what it publishes and yields what it validates', async () => {
    const bus = new WakingBus();
    const channel = new TypedChannel<{ celsius: number }>(bus, 'sensors/temperature', (data) => {
      const { celsius } = data as { celsius: unknown };
      if (typeof celsius !== 'number') throw new TypeError('celsius must be a number');
      return { celsius };
    });
    expect(channel.name).toBe('sensors/temperature');
    expect(channel.publish({ celsius: 22.5 })).toBe(true);
    expect(channel.publishBatch([{ celsius: 1 }, { celsius: 2, _channel: 'x' } as { celsius: number }])).toBe(2);
    expect(bus.entries[0]?.map(({ raw }) => raw)).toEqual([
      '{"celsius":22.5,"_channel":"sensors/temperature"}',
      '{"celsius":1,"_channel":"sensors/temperature"}',
      '{"celsius":2,"_channel":"sensors/temperature"}',
    ]);
    expect(await take(channel.subscribe(), 3)).toEqual([{ celsius: 22.5 }, { celsius: 1 }, { celsius: 2 }]);
    bus.emit({ _channel: 'sensors/temperature', celsius: 'hot' });
    const stream = channel.subscribe({ cursor: 'eyIwIjoiMTAwMi0wIn0=' });
    await expect(take(stream, 1)).rejects.toThrow('celsius must be a number');
  });

  it('spreads what is no object', () => {
    const bus = new WakingBus();
    const channel = new TypedChannel<unknown>(bus, 'c');
    channel.publishBatch([5, null, [1, 2], 'ab']);
    expect(bus.entries[0]?.map(({ raw }) => raw)).toEqual([
      '{"_channel":"c"}',
      '{"_channel":"c"}',
      '{"0":1,"1":2,"_channel":"c"}',
      '{"0":"a","1":"b","_channel":"c"}',
    ]);
  });

  it('keeps its own filter beside that of the options', async () => {
    const bus = new WakingBus();
    const channel = new TypedChannel<{ v: number }>(bus, 'mine');
    channel.publishBatch([{ v: 1 }, { v: 2 }]);
    bus.emit({ _channel: 'other', v: 2 }, { _channel: 'mine', v: 2, last: true });
    const raw = channel.subscribeRaw({ filter: '{"path":"v","value":2}' });
    expect((await take(raw, 2)).map((event) => event.raw)).toEqual([
      '{"v":2,"_channel":"mine"}',
      '{"_channel":"mine","v":2,"last":true}',
    ]);
    const wrong = channel.subscribe({ filter: '{"path":"v","value":2}],"$or":[' });
    await expect(take(wrong, 1)).rejects.toThrow('Invalid filter: ');
  });

  it('publishes through the low-level bus as well', async () => {
    const bus = new ForeignBus();
    const low = {
      poll: bus.poll.bind(bus),
      ingestFire: (json: string) => bus.fire(json),
      ingestBatchFire: (jsons: string[]) => bus.fireBatch(jsons),
    };
    const channel = new TypedChannel<{ v: number }>(low, 'mine');
    expect(channel.publish({ v: 1 })).toBe(true);
    expect(channel.publishBatch([{ v: 2 }])).toBe(1);
    expect(await take(channel.subscribe(), 2)).toHaveLength(2);
  });
});
