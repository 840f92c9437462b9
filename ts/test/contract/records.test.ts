import { describe, expect, it } from 'vitest';
import { door } from '../../src/backend/choose.js';
import redisEntries from '../vectors/bus-redis-entries.json';

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const bytes = (text: string) => encoder.encode(text);

function batch(events: Uint8Array[], timestamps: bigint[]) {
  const ends = new Uint32Array(events.length);
  let size = 0;
  events.forEach((event, i) => {
    size += event.length;
    ends[i] = size;
  });
  const data = new Uint8Array(size);
  events.forEach((event, i) => {
    data.set(event, (ends[i] ?? 0) - event.length);
  });
  return [data, ends, BigUint64Array.from(timestamps)] as const;
}

const bulk = (text: string) => `$${bytes(text).length}\r\n${text}\r\n`;

/** Columns of a packed page (layout: native/src/record/page.rs). */
function unpack(packed: Uint8Array) {
  const copy = packed.slice();
  const words = new Uint32Array(copy.buffer, 0, copy.length >> 2);
  const [n = 0, looked, unreadable] = words;
  const column = (at: number) => [...words.subarray(8 + at * n, 8 + (at + 1) * n)];
  const payloads = 4 * (8 + 5 * n);
  const ends = column(2);
  const raws = ends.map((end, i) => decoder.decode(copy.subarray(payloads + (ends[i - 1] ?? 0), payloads + end)));
  const stamps = ends.map((_, i) => BigInt(words[8 + 2 * i] ?? 0) + (BigInt(words[9 + 2 * i] ?? 0) << 32n));
  return { looked, unreadable, raws, stamps };
}

describe('records', () => {
  it('are written as pairs of record and id', () => {
    const [data, ends, stamps] = batch([bytes('{"a":1}'), bytes('no'), bytes('"é"')], [5n, 2n ** 64n - 1n, 7n]);
    const out = door.redisRecords(data, ends, stamps, 7, 1, 3, bytes('<'), bytes('>'), 'ff:7:10:');
    const wrapped = '{"r":{"$bytes":"bm8="},"t":18446744073709551615,"s":7}';
    expect(decoder.decode(out)).toBe(
      `<${bulk(wrapped)}>${bulk('ff:7:10:1')}<${bulk('{"r":"é","t":7,"s":7}')}>${bulk('ff:7:10:2')}`,
    );
    const nats = decoder.decode(door.natsRecords(data, ends, stamps, 7, 0, 1, 'net.shard.7', '_INBOX.x.', 'ff:7:10:'));
    expect(nats).toBe(
      'HPUB net.shard.7 _INBOX.x.0 36 61\r\nNATS/1.0\r\nNats-Msg-Id: ff:7:10:0\r\n\r\n{"r":{"a":1},"t":5,"s":7}\r\n',
    );
  });

  it('refuse columns that do not fit', () => {
    const none = new Uint8Array(0);
    const write = (ends: number[], stamps: bigint[]) =>
      door.redisRecords(bytes('ab'), Uint32Array.from(ends), BigUint64Array.from(stamps), 0, 0, 9, none, none, '');
    expect(() => write([1, 3], [1n, 2n])).toThrow();
    expect(() => write([2, 1], [1n, 2n])).toThrow();
    expect(() => write([1, 2], [1n])).toThrow();
  });

  it('are read by the rules of the vectors', () => {
    const answer = [`*${redisEntries.cases.length}\r\n`];
    redisEntries.cases.forEach(({ fields }, i) => {
      answer.push(`*2\r\n${bulk(`1-${i}`)}*${fields.length}\r\n${fields.map(bulk).join('')}`);
    });
    const page = unpack(door.redisPage(bytes(answer.join('')), 1000) ?? new Uint8Array(32));
    const readable = redisEntries.cases.flatMap(({ result }) => (result ? [result] : []));
    expect(page.looked).toBe(redisEntries.cases.length);
    expect(page.unreadable).toBe(redisEntries.cases.length - readable.length);
    expect(page.raws).toEqual(readable.map(({ raw }) => raw));
    expect(page.stamps).toEqual(readable.map(({ insertionTs }) => BigInt(insertionTs)));
    expect(door.redisPage(bytes('-ERR no\r\n'), 1) ?? null).toBeNull();
  });

  it('are read from the messages of a consumer', () => {
    const record = '{"r":[1],"t":9,"s":0}';
    const frame = `MSG net.shard.0 1 $JS.ACK.s.c.1.9007199254740993.1.99.0 ${record.length}\r\n${record}\r\n`;
    expect(unpack(door.natsPage(bytes(frame), 5) ?? new Uint8Array(32))).toEqual({
      looked: 1,
      unreadable: 0,
      raws: ['[1]'],
      stamps: [9n],
    });
  });

  it('stand in the journal with their checksum', () => {
    expect(door.crc32c(bytes('123456789'))).toBe(0xe3069283);
    const entry = door.journalEntry(...batch([bytes('abc')], [1n]), 2, 2n ** 53n + 1n).slice();
    const view = new DataView(entry.buffer);
    expect(view.getUint32(0, true)).toBe(entry.length - 8);
    expect(view.getUint32(4, true)).toBe(door.crc32c(entry.subarray(8)));
    expect([view.getUint8(8), view.getUint16(9, true), view.getBigUint64(11, true), view.getUint32(19, true)]).toEqual([
      1,
      2,
      2n ** 53n + 1n,
      1,
    ]);
    expect([view.getBigUint64(23, true), view.getUint32(31, true)]).toEqual([1n, 3]);
    expect(decoder.decode(entry.subarray(35))).toBe('abc');
  });
});
