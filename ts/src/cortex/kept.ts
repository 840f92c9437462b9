/**
 * The state that compaction leaves beside a log (51 §8). In a channel's directory it is the file
 * `~snapshot-<20 digits of lastSeq>`: the model's snapshot bytes, then lastSeq u64 LE, then the XXH3-64 of all before it
 * u64 LE. The published package ignores it. Each compaction writes a file under a name that nobody else uses, gives it its
 * own name when it is durable, and removes the older ones only when the log has been trimmed: so a crash at any moment,
 * and several threads at once, leave one that is whole and reaches at least as far as the log was trimmed. (A rename over
 * one name for all would not be one step in every storage.)
 */
import { xxh3 } from '../hash/index.js';
import type { LogHome, StoredFile } from '../redex/index.js';

/** A model's state and the last sequence that is in it. */
export interface Kept {
  readonly stateBytes: Uint8Array;
  readonly lastSeq: bigint;
}

const NAME = /^~snapshot-(\d{20})$/;
/** The same, or one that is being written or was left so by a crash. */
const ANY_NAME = /^~snapshot-\d{20}(~\w+)?$/;
const FOOTER = 16;

function fileName(lastSeq: bigint): string {
  return `~snapshot-${String(lastSeq).padStart(20, '0')}`;
}

/** Last sequence of the state in a file of this name; undefined when it is no such name. */
export function keptSeq(name: string): bigint | undefined {
  const digits = NAME.exec(name)?.[1];
  return digits === undefined ? undefined : BigInt(digits);
}

function encode({ stateBytes, lastSeq }: Kept): Uint8Array {
  const bytes = new Uint8Array(stateBytes.length + FOOTER);
  bytes.set(stateBytes);
  const footer = new DataView(bytes.buffer, stateBytes.length);
  footer.setBigUint64(0, lastSeq, true);
  footer.setBigUint64(8, xxh3(bytes.subarray(0, -8)), true);
  return bytes;
}

/** The state in the bytes of a file; undefined when they are damaged. */
export function decodeKept(bytes: Uint8Array): Kept | undefined {
  const length = bytes.length - FOOTER;
  if (length < 0) return undefined;
  const footer = new DataView(bytes.buffer, bytes.byteOffset + length);
  if (footer.getBigUint64(8, true) !== xxh3(bytes.subarray(0, -8))) return undefined;
  return { stateBytes: bytes.subarray(0, length), lastSeq: footer.getBigUint64(0, true) };
}

/** Names of the kept states of a channel, the one that reaches furthest first. */
function names({ storage, root }: LogHome, pattern = NAME): string[] {
  const entries = storage.list(root) ?? [];
  return entries
    .filter((entry) => !entry.isDirectory && pattern.test(entry.name))
    .map((entry) => entry.name)
    .sort()
    .reverse();
}

function contentOf(file: StoredFile): Uint8Array {
  try {
    const bytes = new Uint8Array(file.length());
    return bytes.subarray(0, file.read(0, bytes));
  } finally {
    file.close();
  }
}

/** The kept state that reaches furthest, and the paths of those that are damaged. */
export function readKept(home: LogHome): { readonly kept: Kept | undefined; readonly damaged: readonly string[] } {
  const damaged: string[] = [];
  for (const name of names(home)) {
    const path = `${home.root}/${name}`;
    const file = home.storage.open(path, false);
    if (file === null) continue;
    const kept = decodeKept(contentOf(file));
    // A file under another's name would hide those that reach further.
    if (kept !== undefined && kept.lastSeq === keptSeq(name)) return { kept, damaged };
    damaged.push(path);
  }
  return { kept: undefined, damaged };
}

/** Writes a state; when it resolves, the state is durable. */
export async function writeKept(home: LogHome, kept: Kept): Promise<void> {
  const { storage, root } = home;
  const path = `${root}/${fileName(kept.lastSeq)}`;
  const draft = `${path}~${Math.random().toString(36).slice(2)}`;
  const file = storage.open(draft, true);
  if (file === null) throw new Error(`${draft} is no regular file`);
  try {
    file.write(0, encode(kept));
    await (file.syncLater ? file.syncLater() : file.sync());
  } catch (error) {
    file.close();
    storage.remove(draft);
    throw error;
  }
  file.close();
  storage.rename(draft, path);
  storage.syncDirectory(root);
}

/** Removes the states that reach less far than one that is durable. */
export function removeOlder({ storage, root }: LogHome, lastSeq: bigint): void {
  const newest = fileName(lastSeq);
  for (const name of names({ storage, root }, ANY_NAME)) if (name < newest) storage.remove(`${root}/${name}`);
}
