import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { channelOf, withChannel } from '../../src/bus/mesh/channel-mark.js';

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (view: Uint8Array) => new TextDecoder().decode(view);

describe('the channel that an event names', () => {
  it.each([
    ['{"a":1,"_channel":"x/y"}', 'x/y'],
    ['{"_channel":"x"}', 'x'],
    ['{"_channel":"x","a":1}', 'x'],
    ['{"_channel":"x","_channel":"y"}', 'y'],
    [' {"_channel" : "x" } ', 'x'],
    ['{"a":1,"_channel":"\\u0078"}', 'x'],
    ['{"a":1,"_channel":""}', ''],
    ['{"a":{"_channel":"x"}}', undefined],
    ['{"a":"\\"_channel\\":\\"x"}', undefined],
    ['{"a":",\\"_channel\\":\\"x"}', undefined],
    ['{"_channel":5}', undefined],
    ['["_channel":"x"}', undefined],
    ['["_channel"]', undefined],
    ['"_channel":"x"}', undefined],
    ['', undefined],
    ['}', undefined],
    ['"}', undefined],
  ])('%s: %s', (event, channel) => {
    expect(channelOf(bytes(event))).toBe(channel);
  });

  const json = fc.jsonValue({ maxDepth: 3 });
  const objects = fc.dictionary(fc.oneof(fc.constant('_channel'), fc.string()), json, { maxKeys: 5 });

  it('is what JSON.parse finds', () => {
    const named = fc
      .tuple(objects, fc.option(fc.string()))
      .map(([object, channel]) => JSON.stringify(channel === null ? object : { ...object, _channel: channel }));
    fc.assert(
      fc.property(
        fc.oneof(
          named,
          json.map((value) => JSON.stringify(value)),
        ),
        (event) => {
          const found = (JSON.parse(event) as { _channel?: unknown } | null)?._channel;
          const plain = Array.isArray(JSON.parse(event)) || typeof found !== 'string';
          expect(channelOf(bytes(event))).toBe(plain ? undefined : found);
        },
      ),
    );
  });

  it('is set in objects, whatever they say, and in nothing else', () => {
    fc.assert(
      fc.property(fc.oneof(objects, json), fc.constantFrom('', ' ', '\n\t'), (value, space) => {
        const event = `${space}${JSON.stringify(value)}${space}`;
        const out = text(withChannel(bytes(event), 'a/b'));
        if (value === null || typeof value !== 'object' || Array.isArray(value)) {
          expect(out).toBe(event);
          return;
        }
        const parsed = JSON.parse(out) as Record<string, unknown>;
        // As parsing writes it, so that a key __proto__ is one.
        const expected = JSON.parse(event) as Record<string, unknown>;
        expected._channel = 'a/b';
        expect(parsed).toEqual(expected);
        expect(text(withChannel(bytes(out), 'a/b'))).toBe(out);
      }),
    );
  });

  it('arbitrary bytes are no event of a channel, and stay as they are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (body) => {
        const event = Uint8Array.from([0x7b, 0xff, ...body, 0x7d]);
        expect(withChannel(event, 'a')).toBe(event);
        const tail = Uint8Array.from([...body, ...bytes('"_channel":"a"}')]);
        channelOf(tail);
      }),
    );
  });

  it('numbers keep their digits', () => {
    expect(text(withChannel(bytes('{"n":12345678901234567890.10}'), 'a'))).toBe(
      '{"n":12345678901234567890.10,"_channel":"a"}',
    );
  });
});
