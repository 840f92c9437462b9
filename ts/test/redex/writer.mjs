// A process that appends until it is killed, and says on standard output what has been accepted and what is durable.
// Arguments: entry module, directory, channel, JSON options of openFile (`n` for bigint), seed, mode.
import { writeSync } from 'node:fs';
import { createRequire } from 'node:module';

const [entry, directory, channel, options, seed, mode] = process.argv.slice(2);
const { Redex } = createRequire(import.meta.url)(entry);
const config = JSON.parse(options, (_, value) => (/^\d+n$/.test(value) ? BigInt(value.slice(0, -1)) : value));
const file = new Redex({ persistentDir: directory }).openFile(channel, { persistent: true, ...config });
const first = Number(file.nextSeq());

/** The payload of a sequence: everybody can compute it. */
function payload(seq) {
  const length = (seq * 2654435761) % 200;
  return Buffer.alloc(8 + length, seq & 0xff).fill(String(seq).padStart(8, '0'), 0, 8);
}

// One line per call that returned: what is printed was accepted. `writeSync` to a pipe: no buffer of ours is lost.
const say = (text) => writeSync(1, text);
say(`open ${first}\n`);
let state = Number(seed) || 1;
const random = (below) => {
  state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
  return state % below;
};
let seq = first;
let reported = 0;
while (true) {
  if (random(4) === 0) {
    const count = 1 + random(70);
    file.appendBatch(Array.from({ length: count }, (_, i) => payload(seq + i)));
    seq += count;
  } else {
    file.append(payload(seq));
    seq += 1;
  }
  reported += 1;
  if (reported % 3 === 0) say(`${seq}\n`);
  if (mode === 'sync' && reported % 50 === 0) {
    await file.sync();
    say(`durable ${seq}\n`);
  }
  if (reported % 200 === 0) await new Promise((resolve) => setImmediate(resolve));
}
