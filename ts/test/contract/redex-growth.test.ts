// The memory of WebAssembly grows under the area through which events pass; nothing of a log may depend on when.
import { expect, it } from 'vitest';
import { door } from '../../src/backend/choose.js';
import { Redex } from '../../src/redex/index.js';

const END = 2n ** 64n - 1n;
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const bytes = (content: string) => new TextEncoder().encode(content);

let size = 32 << 20;

/** Makes the backend hold more bytes at once than ever before. */
function grow(): void {
  size += 32 << 20;
  door.logChecksum(new Uint8Array(size));
}

it('an append that waits to be handed over is whole after growth', () => {
  const redex = new Redex();
  const [one, other] = [redex.openFile('one'), redex.openFile('other')];
  one.append(bytes('first'));
  other.append(bytes('other'));
  one.append(bytes('second'));
  grow();
  expect(one.readRange(0n, END).map(({ payload }) => text(payload))).toEqual(['first', 'second']);
  one.append(bytes('third'));
  one.append(bytes('fourth'));
  grow();
  other.append(bytes('other again'));
  one.append(bytes('fifth'));
  grow();
  expect(one.appendBatch([bytes('sixth')])).toBe(5n);
  const all = one.readRange(0n, END).map(({ payload }) => text(payload));
  expect(all).toEqual(['first', 'second', 'third', 'fourth', 'fifth', 'sixth']);
});

it('a tail whose position is gone says so though its next event is long', async () => {
  const redex = new Redex();
  const file = redex.openFile('bounded', { retentionMaxEvents: 1n }).napi;
  const tail = await file.tail(0n);
  file.append(bytes('gone'));
  file.append(new Uint8Array(40 << 20));
  // Takes the memory that the first long event was handed over in, so that reading it has to find more.
  redex.openFile('other').append(new Uint8Array(30 << 20));
  expect(file.len()).toBe(1n);
  await expect(tail.next()).rejects.toThrow('lagged');
  await redex.close();
});
