// What looks into the files of a channel needs memory for what it looks at, not for the files.
import { mkdtempSync, openSync, readFileSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { door } from '../../src/backend/choose.js';
import { Redex } from '../../src/redex/index.js';
import { LogFiles } from '../../src/redex/inspect.js';

const root = mkdtempSync(join(tmpdir(), 'meshring-redex-inspect-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const payload = (seq: number) => new Uint8Array((seq * 7919) % 5000).fill(seq);

it('files far larger than memory are checked and read', async () => {
  const redex = new Redex({ persistentDir: root });
  const file = redex.openFile('large', { persistent: true });
  for (let seq = 0; seq < 20; seq++) file.append(payload(seq));
  await redex.close();
  const live = join(root, 'large', 'v0000000001');
  const [idx, dat] = [join(live, 'idx'), join(live, 'dat')];
  // A record that names bytes near the end of what an offset can say, and a file with a hole up to there and beyond.
  const far = 0xf000_0000;
  writeFileSync(idx, Buffer.concat([readFileSync(idx), door.logRecord(20n, far, payload(20), false)]));
  truncateSync(dat, 2 ** 36);
  const fd = openSync(dat, 'r+');
  writeSync(fd, payload(20), 0, undefined, far);
  const files = new LogFiles(join(root, 'large'));
  expect(files.damage).toEqual([]);
  expect([files.records, files.events, files.nextSeq, files.missingTimes]).toEqual([21, 21, '21', 1]);
  expect(files.bytes.dat).toBe(far + payload(20).length);
  for (const entry of files.entries(3n)) expect(Buffer.compare(entry.payload, payload(Number(entry.seq)))).toBe(0);
  expect(files.last(2).map(({ seq }) => seq)).toEqual([19n, 20n]);
  writeSync(fd, Uint8Array.of(255), 0, undefined, far + 1);
  files.close();
  const damaged = new LogFiles(join(root, 'large'));
  expect(damaged.damage).toMatchObject([{ file: dat, offset: far, record: 20, seq: '20', reason: 'checksum' }]);
  expect(damaged.last(1).map(({ seq }) => seq)).toEqual([19n]);
  damaged.close();
});
