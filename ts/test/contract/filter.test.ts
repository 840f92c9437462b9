import { describe, expect, it } from 'vitest';
import { door } from '../../src/backend/choose.js';
import { compileFilter, Filter, filterText } from '../../src/bus/filter.js';
import { MeshringError } from '../../src/errors.js';
import type { FilterInput } from '../../src/types.js';
import peer from '../vectors/bus-filter.json';
import extended from '../vectors/bus-filter-extended.json';

const bytes = (text: string) => new TextEncoder().encode(text);
const matches = (filter: FilterInput, event: string) => compileFilter(filter)?.test(bytes(event));

interface Case {
  filter: string;
  matches?: number[];
  errorPrefix?: string;
}

describe.each([
  ['of the peer', peer.events, peer.cases as Case[]],
  ['of the extended operators', extended.events, extended.cases as Case[]],
])('filter vectors %s', (_, events, cases) => {
  const data = bytes(events.join(''));
  let end = 0;
  const ends = Uint32Array.from(events, (event) => {
    end += bytes(event).length;
    return end;
  });

  it.each(cases.map((c) => [c.filter, c] as const))('%s', (text, { matches, errorPrefix }) => {
    if (errorPrefix) {
      expect(() => compileFilter(text)).toThrow(errorPrefix);
      return;
    }
    const filter = compileFilter(text);
    expect(events.flatMap((event, i) => (filter?.test(bytes(event)) ? [i] : []))).toEqual(matches);
    const marks = filter?.raw.matchMany(data, ends);
    expect([...(marks ?? [])].flatMap((mark, i) => (mark ? [i] : []))).toEqual(matches);
  });
});

describe('a filter text that is wrong', () => {
  it('is refused with the reason behind the stable prefix', () => {
    let caught: unknown;
    try {
      compileFilter('{"$gt":{"path":"a.b","value":true}}');
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(MeshringError);
    expect(caught).toMatchObject({
      kind: 'invalid-filter',
      message: 'Invalid filter: "$gt" on "a.b": "value" must be a number or a string, got a boolean',
    });
  });

  it('does not crash with 10000 levels or a megabyte of text', () => {
    const deep = `${'{"$not":'.repeat(10_000)}{"path":"a","value":1}${'}'.repeat(10_000)}`;
    expect(() => compileFilter(deep)).toThrow('Invalid filter: ');
    expect(() => compileFilter(`${' '.repeat(1 << 20)}{"path":"a","value":1}`)).toThrow('Invalid filter: ');
    let nested: FilterInput = { path: 'a', value: 1 };
    for (let i = 0; i < 10_000; i++) nested = { $not: nested };
    expect(() => compileFilter(nested)).toThrow('Invalid filter: nesting');
  });
});

describe('the builder', () => {
  const event = JSON.stringify({ origin: 'ABQ', delay: 31, v: '1.4.2', tags: ['a', 'b'], nested: { 'x.y': null } });

  it('has each operator as a static method and chained', () => {
    const all = new Filter()
      .eq('origin', 'ABQ')
      .ne('origin', 'BOS')
      .gt('delay', 30)
      .gte('delay', 31n)
      .lt('delay', 32)
      .lte('origin', 'ABR')
      .in('delay', [30, 31])
      .nin('origin', ['BOS'])
      .exists('nested')
      .exists('nope', false)
      .contains('tags', 'b')
      .startsWith('origin', 'A')
      .endsWith('origin', 'Q')
      .matches('origin', 'A?*')
      .semver('v', '^1.2')
      .and({ path: 'delay', value: 31 }, '{"path":"origin","value":"ABQ"}')
      .or(Filter.eq('delay', 0), Filter.eq('delay', 31))
      .not(Filter.eq('delay', 0))
      .eq('nested.x\\.y', null);
    expect(all.test(event)).toBe(true);
    expect(matches(all, event)).toBe(true);
    expect(all.test('{}')).toBe(false);
    for (const [filter, expected] of [
      [Filter.eq('delay', 31), true],
      [Filter.ne('delay', 31), false],
      [Filter.gt('delay', 31), false],
      [Filter.gte('delay', 31), true],
      [Filter.lt('delay', 31), false],
      [Filter.lte('delay', 31), true],
      [Filter.in('delay', [31]), true],
      [Filter.nin('delay', [31]), false],
      [Filter.exists('delay'), true],
      [Filter.contains('tags', 'c'), false],
      [Filter.startsWith('origin', 'B'), false],
      [Filter.endsWith('origin', 'BQ'), true],
      [Filter.matches('origin', '???'), true],
      [Filter.semver('v', '<1'), false],
      [Filter.and(Filter.eq('delay', 31), Filter.eq('origin', 'BOS')), false],
      [Filter.or(Filter.eq('delay', 31), Filter.eq('origin', 'BOS')), true],
      [Filter.not(Filter.eq('delay', 31)), false],
      [Filter.and(), false],
      [Filter.or(), false],
    ] as const) {
      expect([filter.toString(), filter.test(event)]).toEqual([filter.toString(), expected]);
    }
  });

  it('never changes a filter that is chained further', () => {
    const late = Filter.new().gt('delay', 30);
    const later = late.gt('delay', 60);
    expect(late.toJSON()).toEqual({ $gt: { path: 'delay', value: 30 } });
    expect(later.toJSON()).toEqual({
      $and: [{ $gt: { path: 'delay', value: 30 } }, { $gt: { path: 'delay', value: 60 } }],
    });
    expect(JSON.stringify(Filter.eq('a', [1, { b: null }]))).toBe('{"$eq":{"path":"a","value":[1,{"b":null}]}}');
  });

  it('without conditions matches all events that are JSON', () => {
    expect(new Filter().test('5')).toBe(true);
    expect(new Filter().test('five')).toBe(false);
  });

  it('writes 64-bit integers exactly and refuses what JSON cannot say', () => {
    expect(filterText(Filter.eq('n', 18446744073709551615n))).toBe('{"$eq":{"path":"n","value":18446744073709551615}}');
    expect(matches(Filter.eq('n', 9007199254740993n), '{"n":9007199254740993}')).toBe(true);
    expect(matches(Filter.eq('n', 9007199254740993n), '{"n":9007199254740992}')).toBe(false);
    expect(() => filterText(Filter.gt('n', Number.NaN))).toThrow('Invalid filter: NaN is not a JSON number');
    expect(() => compileFilter(Filter.eq('n', undefined as never))).toThrow('needs "value"');
  });

  it('takes a text inside of and, or, not only if it is a whole filter', () => {
    expect(() => Filter.and('{"path":"a","value":1}],"$or":[')).toThrow('Invalid filter: ');
    expect(filterText(Filter.not('{"path":"a","value":9007199254740993}'))).toBe(
      '{"$not":{"path":"a","value":9007199254740993}}',
    );
  });
});

describe('isJson', () => {
  it('accepts exactly one JSON value in valid UTF-8', () => {
    for (const good of [' {"a":[1,2.5e3,"\\ud800"]} ', 'null', '""']) expect(door.isJson(bytes(good))).toBe(true);
    for (const bad of ['', '1,"t":5', '{', "'a'", '1 2', '[1,]']) expect(door.isJson(bytes(bad))).toBe(false);
    expect(door.isJson(Uint8Array.of(34, 255, 34))).toBe(false);
  });
});

describe('a packed batch', () => {
  it('with wrong ends is refused', () => {
    const filter = compileFilter('{"path":"","value":1}');
    expect(() => filter?.raw.matchMany(bytes('11'), Uint32Array.of(2, 1))).toThrow('matchMany: ends');
    expect(() => filter?.raw.matchMany(bytes('11'), Uint32Array.of(3))).toThrow('matchMany: ends');
  });
});
