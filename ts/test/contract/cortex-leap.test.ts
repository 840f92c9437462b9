// An adapter that has fallen behind finds the events gone and a compacted state in their place.
import { expect, it } from 'vitest';
import { CortexError, type LogStorage, MemoriesAdapter, MemoryStorage, Redex } from '../../src/cortex.js';

const DIRECTORY = '/db';
const LOG = 'cortex/memories';

/** What another process left: the state of so many memories beside the log. */
async function compacted(count = 3n): Promise<{ readonly bytes: Uint8Array; readonly name: string }> {
  const storage = new MemoryStorage();
  const redex = new Redex({ persistentDir: DIRECTORY, storage });
  const memories = await MemoriesAdapter.open(redex, 1n, { persistent: true });
  for (let i = 0n; i < count; i++) memories.store(i, `memory ${i}`, ['x'], 's', i);
  await memories.compact();
  await redex.close();
  const name = (storage.list(`${DIRECTORY}/${LOG}`) ?? []).map((entry) => entry.name).find((n) => n.startsWith('~s'));
  const file = storage.open(`${DIRECTORY}/${LOG}/${name}`, false);
  const bytes = new Uint8Array(file?.length() ?? 0);
  file?.read(0, bytes);
  return { bytes, name: name ?? '' };
}

function put(storage: LogStorage, name: string, bytes: Uint8Array): void {
  storage.open(`${DIRECTORY}/${LOG}/${name}`, true)?.write(0, bytes);
}

/** Appends what three writes would be and trims it at once, before anybody can fold it. */
function appendAndTrim(redex: Redex): void {
  const { opened } = redex.openFile(LOG).napi;
  for (let i = 0; i < 3; i++) opened.log.append(Uint8Array.of(i));
  opened.log.trim(3n);
}

async function follower() {
  const storage = new MemoryStorage();
  const redex = new Redex({ persistentDir: DIRECTORY, storage });
  const memories = await MemoriesAdapter.open(redex, 2n, { persistent: true });
  return { storage, redex, memories };
}

it('its watches and waits learn of the state', async () => {
  const { name, bytes } = await compacted();
  const { storage, redex, memories } = await follower();
  const watch = (await memories.watch({ tag: 'x' }))[Symbol.asyncIterator]();
  expect((await watch.next()).value).toEqual([]);
  const [changed, waited] = [watch.next(), memories.waitForSeq(2n)];
  put(storage, name, bytes);
  appendAndTrim(redex);
  await waited;
  expect((await changed).value.map(({ id }: { id: bigint }) => id)).toEqual([0n, 1n, 2n]);
  await redex.close();
});

it('waits go on when there is no such state', async () => {
  const { redex, memories } = await follower();
  const waited = memories.waitForSeq(2n);
  appendAndTrim(redex);
  await waited;
  await redex.close();
});

it('a state under the name of one that reaches further is not taken for it', async () => {
  const { name, bytes } = await compacted();
  const { storage, redex, memories } = await follower();
  put(storage, name, bytes);
  put(storage, `~snapshot-${'9'.repeat(20)}`, new Uint8Array(20));
  put(storage, `~snapshot-${'8'.repeat(20)}`, (await compacted(1n)).bytes);
  appendAndTrim(redex);
  expect(memories.count()).toBe(3);
  await redex.close();
});

it('one that cannot read the state does not keep its log from closing', async () => {
  class Unreadable extends MemoryStorage {
    broken = false;
    override list(path: string) {
      if (this.broken) throw new Error('Input/output error (os error 5)');
      return super.list(path);
    }
  }
  const storage = new Unreadable();
  const redex = new Redex({ persistentDir: DIRECTORY, storage });
  const memories = await MemoriesAdapter.open(redex, 2n, { persistent: true });
  const waited = memories.waitForSeq(5n).catch((error: unknown) => error);
  const tail = redex.openFile(LOG).napi.tail(3n);
  const ended = (await tail).next();
  appendAndTrim(redex);
  storage.broken = true;
  const closing = redex.close();
  storage.broken = false;
  await closing;
  expect(await ended).toBeNull();
  expect(await waited).toBeInstanceOf(CortexError);
  expect(memories.isRunning()).toBe(false);
  expect(() => memories.count()).toThrow('Input/output error');
});

it('compaction before a skipped event leaves the state of that moment', async () => {
  const redex = new Redex();
  const memories = await MemoriesAdapter.open(redex, 1n);
  memories.store(1n, 'before', [], 's', 1n);
  redex.openFile(LOG).append(Uint8Array.of(1, 2, 3));
  // A pin of what is not there yet does nothing, then or ever.
  memories.pin(8n, 2n);
  memories.store(8n, 'after', [], 's', 3n);
  expect(await memories.compact()).toBe(0n);
  const again = await MemoriesAdapter.open(redex, 1n);
  expect(again.listMemories()).toEqual(memories.listMemories());
  await redex.close();
});
