import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeFrame, FrameDecoder, type FrameOptions, MarketrixError } from '../../src/marketrix.js';
import vectors from '../vectors/marketrix-frames.json' with { type: 'json' };

function decode(chunks: Iterable<Uint8Array>, options: FrameOptions = {}, end = true): unknown[] {
  const decoder = new FrameDecoder(options);
  const messages: unknown[] = [];
  for (const chunk of chunks) decoder.push(chunk, (message) => messages.push(message));
  if (end) decoder.end();
  return messages;
}

function kindOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(MarketrixError);
    return (error as MarketrixError).kind;
  }
  return 'none';
}

/** Cuts at the given points. */
function cut(bytes: Buffer, points: number[]): Buffer[] {
  const at = [...new Set(points)].sort((a, b) => a - b);
  return [0, ...at].map((from, i) => bytes.subarray(from, at[i] ?? bytes.length));
}

describe('frame vectors', () => {
  it.each(vectors.encode.map((v) => [v.json, v] as const))('%s', (_, { value, frameBig, frameLittle }) => {
    expect(encodeFrame(value).toString('hex')).toBe(frameBig);
    expect(encodeFrame(value, { endian: 'little' }).toString('hex')).toBe(frameLittle);
    expect(decode([Buffer.from(frameBig, 'hex')])).toEqual([value]);
    expect(decode([Buffer.from(frameLittle, 'hex')], { endian: 'little' })).toEqual([value]);
  });

  it('gives all values for every way to cut the bytes in two, and byte by byte', () => {
    const all = Buffer.from(vectors.concatenatedBig, 'hex');
    const values = vectors.encode.map(({ value }) => value);
    for (let i = 0; i <= all.length; i++) expect(decode([all.subarray(0, i), all.subarray(i)])).toEqual(values);
    expect(decode([...all].map((byte) => Uint8Array.of(byte)))).toEqual(values);
  });

  it.each(vectors.invalid.map((v) => [v.name, v] as const))('%s', (_, vector) => {
    const options = 'limit' in vector && vector.limit ? { maxFrameBytes: vector.limit } : {};
    const bytes = Buffer.from(vector.bytes, 'hex');
    if ('messages' in vector) expect(decode([bytes], options)).toEqual(vector.messages);
    else expect(kindOf(() => decode([bytes], options))).toBe(vector.kind);
  });
});

const json = fc.jsonValue({ maxDepth: 6 }).filter((value) => {
  try {
    encodeFrame(value);
    return true;
  } catch {
    return false; // numbers beyond 2^53
  }
});

describe('frames', () => {
  it('survive any splits and merges, in both byte orders', () => {
    fc.assert(
      fc.property(
        fc.array(json, { maxLength: 8 }),
        fc.array(fc.nat(2000), { maxLength: 12 }),
        fc.constantFrom('big' as const, 'little' as const),
        fc.boolean(),
        (values, points, endian, bytes) => {
          const all = Buffer.concat(values.map((value) => encodeFrame(value, { endian, bytes })));
          const pieces = cut(
            all,
            points.map((point) => Math.min(point, all.length)),
          );
          // `-0` has no JSON form of its own.
          expect(JSON.stringify(decode(pieces, { endian, bytes }))).toBe(JSON.stringify(values));
        },
      ),
      { numRuns: process.env.MESHRING_SOAK ? 10_000 : 300 },
    );
  });

  it('give messages or a typed error for any bytes, never anything else', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 6 }), fc.boolean(), (chunks, bytes) => {
        expect(['none', 'protocol', 'frame-too-large']).toContain(
          kindOf(() => decode(chunks, { bytes, maxFrameBytes: 1 << 20 })),
        );
      }),
      { numRuns: process.env.MESHRING_SOAK ? 50_000 : 500 },
    );
  });

  it('give messages or a typed error when bytes of good frames are changed', () => {
    const good = Buffer.from(vectors.concatenatedBig, 'hex');
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        (changes) => {
          const bad = Buffer.from(good);
          for (const [at, byte] of changes) bad[at] = byte;
          expect(['none', 'protocol', 'frame-too-large']).toContain(kindOf(() => decode([bad])));
        },
      ),
      { numRuns: process.env.MESHRING_SOAK ? 50_000 : 1000 },
    );
  });

  it('give what came before a bad frame', () => {
    const messages: unknown[] = [];
    const bytes = Buffer.concat([encodeFrame(1), encodeFrame('zwei'), Buffer.from('00000001ff', 'hex')]);
    expect(kindOf(() => new FrameDecoder().push(bytes, (m) => messages.push(m)))).toBe('protocol');
    expect(messages).toEqual([1, 'zwei']);
  });

  it('hold nothing of a frame whose length is too large', () => {
    const decoder = new FrameDecoder();
    expect(kindOf(() => decoder.push(Buffer.from('ffffffff', 'hex'), () => {}))).toBe('frame-too-large');
    expect(decoder.held).toBe(0);
  });

  it('join large frames in linear time', () => {
    const value = 'x'.repeat(8 << 20);
    const frame = encodeFrame(value);
    const chunks = Array.from({ length: Math.ceil(frame.length / 16384) }, (_, i) =>
      frame.subarray(i * 16384, (i + 1) * 16384),
    );
    expect(decode(chunks)).toEqual([value]);
  });

  it('carry bytes where envelopes are spoken, and objects that look like bytes', () => {
    const values = [
      Buffer.from('größe'),
      { deep: [{ b: Buffer.alloc(3, 7) }, 'text'] },
      { $bytes: 'aGk=' },
      { $$bytes: 1 },
      { $bytes: { $bytes: Buffer.from('x') } },
      { $bytes: 'a', other: 1 },
      Buffer.alloc(0),
    ];
    const all = Buffer.concat(values.map((value) => encodeFrame(value, { bytes: true })));
    expect(decode([all], { bytes: true })).toEqual(values);
    expect(decode([encodeFrame(new Uint8Array([1, 2]), { bytes: true })], { bytes: true })).toEqual([Buffer.of(1, 2)]);
    expect(kindOf(() => encodeFrame(Buffer.from('x')))).toBe('invalid-message');
    expect(kindOf(() => decode([encodeFrame({ $bytes: 'no base64!' })], { bytes: true }))).toBe('protocol');
  });

  it('keep `__proto__` as plain data', () => {
    const text = '{"__proto__":{"polluted":true},"a":1}';
    const [value] = decode([encodeFrame(JSON.parse(text))]) as [object];
    expect(JSON.stringify(value)).toBe(text);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
    const [withBytes] = decode([encodeFrame(JSON.parse(`{"x":[${text}],"$":1}`), { bytes: true })], { bytes: true });
    expect(JSON.stringify(withBytes)).toBe(`{"x":[${text}],"$":1}`);
  });

  it.each([
    ['undefined', undefined],
    ['a function', () => 1],
    ['NaN', { a: [Number.NaN] }],
    ['Infinity', Infinity],
    ['2^53', 2 ** 53],
    ['a bigint', { n: 1n }],
    ['a Map', new Map([[1, 2]])],
    [
      'a circular object',
      (() => {
        const a: unknown[] = [];
        a.push(a);
        return a;
      })(),
    ],
  ])('refuse %s', (_, value) => {
    expect(kindOf(() => encodeFrame(value))).toBe('invalid-message');
  });

  it('take what JSON takes', () => {
    const date = new Date(0);
    expect(decode([encodeFrame({ date, gap: undefined, list: [undefined, 2 ** 53 - 1] })])).toEqual([
      { date: date.toJSON(), list: [null, 2 ** 53 - 1] },
    ]);
    expect(decode([Buffer.concat([Buffer.from([0, 0, 0, 4]), Buffer.from(' 1 \n')])])).toEqual([1]);
  });

  it('nest 128 deep and no deeper', () => {
    const nested = (depth: number) => JSON.parse('['.repeat(depth) + ']'.repeat(depth)) as unknown;
    const frameOf = (depth: number) => {
      const text = '['.repeat(depth) + ']'.repeat(depth);
      const frame = Buffer.alloc(4 + text.length);
      frame.writeUInt32BE(text.length);
      frame.write(text, 4);
      return frame;
    };
    expect(decode([encodeFrame(nested(128))])).toEqual([nested(128)]);
    expect(kindOf(() => encodeFrame(nested(129)))).toBe('invalid-message');
    expect(kindOf(() => decode([frameOf(129)]))).toBe('protocol');
    expect(kindOf(() => decode([frameOf(100_000)]))).toBe('protocol');
  });

  it('obey the limit when sent', () => {
    expect(kindOf(() => encodeFrame('ä'.repeat(512), { maxFrameBytes: 1024 }))).toBe('frame-too-large');
    expect(encodeFrame('ä'.repeat(511), { maxFrameBytes: 1024 }).length).toBe(4 + 1024);
  });
});
