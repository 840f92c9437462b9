import { openOpfs, Redex, type RedexEvent } from '../../src/redex/index.js';
import { story } from '../contract/homes.js';
import { hex, type Image, readImage, unhex, writeImage } from '../redex/images.js';

/** What the test asks for. */
export type Request =
  | { do: 'open'; directory: string; channel: string; image: Image }
  | { do: 'append'; directory: string; texts: string[]; sync: boolean }
  | { do: 'read'; directory: string }
  | { do: 'story'; directory: string };

const plain = (events: RedexEvent[]) =>
  events.map((event) => ({
    seq: Number(event.seq),
    payload: hex(event.payload),
    checksum28: event.checksum,
    inline: event.isInline,
  }));

async function answer(request: Request): Promise<unknown> {
  const storage = await openOpfs(request.directory);
  if (!storage) throw new Error('no origin private file system in this worker');
  if (request.do === 'story')
    return { seen: await story(request.directory), files: Object.keys(readImage(storage, request.directory)) };
  const redex = new Redex({ persistentDir: request.directory });
  const everything = (channel: string) =>
    plain(redex.openFile(channel, { persistent: true }).readRange(0n, 2n ** 64n - 1n));
  if (request.do === 'append') {
    const file = redex.openFile('a/b', { persistent: true });
    for (const text of request.texts) file.append(new TextEncoder().encode(text));
    if (request.sync) await file.sync();
    return { storage: redex.stats().storage, next: Number(file.nextSeq()) };
  }
  if (request.do === 'read') {
    const image = readImage(storage, request.directory);
    return { texts: everything('a/b').map((event) => new TextDecoder().decode(unhex(event.payload))), image };
  }
  writeImage(storage, request.directory, request.image);
  const file = redex.openFile(request.channel, { persistent: true });
  const result: Record<string, unknown> = { events: everything(request.channel), nextSeq: Number(file.nextSeq()) };
  await file.close();
  result.filesAfterOpen = readImage(storage, request.directory);
  redex.openFile(request.channel, { persistent: true }).append(unhex('5a'));
  await redex.close();
  const again = new Redex({ persistentDir: request.directory });
  const events = again.openFile(request.channel, { persistent: true }).readRange(0n, 2n ** 64n - 1n);
  result.eventsAfterReopen = plain(events);
  await again.close();
  return result;
}

self.onmessage = ({ data }: MessageEvent<Request>) => {
  answer(data).then(
    (value) => self.postMessage({ value }),
    (error: unknown) => self.postMessage({ error: String((error as Error).stack ?? error) }),
  );
};
// A message that comes before the handler is there would be lost.
self.postMessage({ ready: true });
