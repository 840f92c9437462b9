/** Where the runtime allows no external buffers (Electron), every event goes by a call: same results. */
import { expect, it } from 'vitest';
import { settingsOf } from '../../src/backend/bus.js';
import { door } from '../../src/backend/choose.js';
import { resolveConfig } from '../../src/bus/config.js';
import { LogReader } from '../../src/bus/log-reader.js';
import { Staging } from '../../src/bus/staging.js';

it('a producer without shared memory loses nothing and gets its receipts', () => {
  const raw = new door.Bus(settingsOf(resolveConfig({ shards: 2 }, true).settings));
  // The runtime's refusal is the only thing that is played here.
  const refusing = new Proxy(raw, {
    get: (target, name) => {
      if (name === 'ringBuffer') return () => null;
      const value = Reflect.get(target, name) as unknown;
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  let ticks = 0;
  const staging = new Staging(refusing, false, false, { eager: () => false, done: () => (ticks += 1) });
  expect(staging.direct).toBe(true);
  expect(staging.text('{"a":1}')).toBe(true);
  expect(staging.bytes(new TextEncoder().encode('{"b":2}'))).toBe(true);
  expect(staging.hashed(new TextEncoder().encode('{"c":3}'), 0n)).toBe(true);
  const placed = staging.placeText('{"d":4}');
  expect(placed).toMatchObject({ accepted: true });
  expect(placed.timestamp).toBeGreaterThan(0);
  const reader = new LogReader(raw, 2, 1);
  const texts = [0, 1].flatMap((shard) => {
    const page = reader.read(shard, undefined, 100, 100, undefined);
    return Array.from({ length: page.count }, (_, i) => page.event(i).raw);
  });
  expect(texts.sort()).toEqual(['{"a":1}', '{"b":2}', '{"c":3}', '{"d":4}']);
  expect(reader.read(placed.shardId, undefined, 100, 100, undefined).count).toBeGreaterThan(0);
  raw.close();
  staging.detach();
  expect(staging.text('{"e":5}')).toBe(false);
  raw.release?.();
  return Promise.resolve().then(() => expect(ticks).toBe(0));
});
