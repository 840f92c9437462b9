import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeCursor, encodeCursor } from '../../src/bus/cursor.js';
import { Poller } from '../../src/bus/poll.js';
import { TransportReader } from '../../src/bus/transport-reader.js';
import { MeshringError } from '../../src/errors.js';
import vectors from '../vectors/bus-cursor.json';
import { StoreInMemory } from './store.js';

interface Case {
  cursor: string;
  text: string;
  events?: number[];
  next?: Record<string, string>;
  hasMore?: boolean;
  errorPrefix?: string;
}

/** Base64 of any text, also of one that is no cursor. */
const base64 = (text: string) =>
  btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(''));

describe('cursor vectors', () => {
  const entries = Array.from({ length: 5 }, (_, i) => ({ raw: String(i), ts: BigInt(i) }));
  it.each((vectors.cases as Case[]).map((c) => [`${c.text || c.cursor}`, c] as const))('%s', async (_, c) => {
    const poller = new Poller(new TransportReader(new StoreInMemory([entries]), 1));
    const poll = async () => poller.poll({ limit: 100, cursor: c.cursor });
    if (c.errorPrefix) {
      await expect(poll()).rejects.toThrow(c.errorPrefix);
      return;
    }
    const page = await poll();
    expect(page.events.map((event) => Number(event.raw))).toEqual(c.events);
    expect(Object.fromEntries(decodeCursor(page.nextId ?? ''))).toEqual(c.next);
    expect(page.hasMore).toBe(c.hasMore);
  });
});

describe('a cursor', () => {
  it('is Base64 of the positions with ascending keys and no white space', () => {
    expect(encodeCursor(new Map([[0, '1795259048676-2']]))).toBe('eyIwIjoiMTc5NTI1OTA0ODY3Ni0yIn0=');
    const cursor = encodeCursor(
      new Map([
        [10, 'b'],
        [9, 'a'],
      ]),
    );
    expect(atob(cursor)).toBe('{"9":"a","10":"b"}');
  });

  it('comes back as the same positions', () => {
    const positions = fc.array(fc.tuple(fc.nat(65535), fc.string({ unit: 'grapheme' })));
    fc.assert(
      fc.property(positions, (entries) => {
        const map = new Map(entries);
        expect(new Map(decodeCursor(encodeCursor(map)))).toEqual(map);
      }),
    );
  });

  it('with a key twice counts the last', () => {
    expect(decodeCursor(base64('{"0":"1-0","0":"2-0"}'))).toEqual(new Map([[0, '2-0']]));
  });

  it.each([
    ['{"65536":"1-0"}', 'shard key "65536" is not a valid u16'],
    ['{"00":"1-0"}', 'non-canonical shard key "00" (parses to 0, canonical form is 0)'],
    ['{"+1":"1-0"}', 'shard key "+1" is not a valid u16'],
    ['{" 1":"1-0"}', 'shard key " 1" is not a valid u16'],
    ['{"__proto__":"1-0"}', 'shard key "__proto__" is not a valid u16'],
    ['{"1":null}', 'shard 1: the position must be a string'],
    ['null', 'it must hold an object of shard positions'],
    ['"x"', 'it must hold an object of shard positions'],
    ['[', ''],
  ])('%s is refused', (text, reason) => {
    expect(() => decodeCursor(base64(text))).toThrow(`Poll failed: invalid cursor: ${reason}`);
  });

  it.each(['', 'e30', 'e30==', 'e3 0=', 'e30=\n', 'e31=', '-_8=', '====', 'e30=e30='])('%j is no Base64', (text) => {
    expect(() => decodeCursor(text)).toThrow(MeshringError);
  });

  it('of invalid UTF-8 or above 4 MiB is refused', () => {
    expect(() => decodeCursor(btoa('{"0":"\xff"}'))).toThrow('Poll failed: invalid cursor: not UTF-8');
    expect(() => decodeCursor('A'.repeat((4 << 20) + 4))).toThrow('the limit is 4194304');
  });

  it('of any text or bytes is refused or read, nothing else', () => {
    const check = (text: string) => {
      try {
        expect(decodeCursor(text)).toBeInstanceOf(Map);
      } catch (error) {
        expect(error).toMatchObject({ kind: 'invalid-cursor' });
      }
    };
    fc.assert(fc.property(fc.string(), check));
    fc.assert(fc.property(fc.base64String(), check));
    fc.assert(fc.property(fc.json(), (json) => check(base64(json))));
  });
});
