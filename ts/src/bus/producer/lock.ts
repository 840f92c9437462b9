/** Exclusive use of a nonce file (11 §6.3): a lock of the system where the addon offers it, else a file with a pid. */
import { randomUUID } from 'node:crypto';
import { link, open, readFile, rename, unlink } from 'node:fs/promises';
import { resolve } from 'node:path';
import { door } from '../../backend/choose.js';
import { systemCode } from './file.js';

/** Locks that this process holds by their files; a file with our pid that is not here is a stale one. */
const held = new Set<string>();

/** Somebody else uses the file. */
export class InUse extends Error {
  constructor(readonly pid: string) {
    super(`in use by process ${pid}`);
  }
}

/** A held lock. */
export interface Lock {
  /** Gives it up; idempotent. */
  release(): Promise<void>;
}

/**
 * Takes `<path>.lock`.
 *
 * @throws InUse when another holder, in this process or another, has it
 */
export async function lock(path: string): Promise<Lock> {
  const file = resolve(`${path}.lock`);
  return door.FileLock ? advisory(file) : byPid(file);
}

async function advisory(file: string): Promise<Lock> {
  const { FileLock } = door;
  if (!FileLock) return byPid(file);
  const taken = new FileLock(file, `${process.pid}\n`);
  if (!taken.held) throw new InUse(await holder(file));
  let open = true;
  return {
    async release() {
      if (!open) return;
      open = false;
      await unlink(file).catch(() => undefined);
      taken.release();
    },
  };
}

async function byPid(file: string): Promise<Lock> {
  for (let attempt = 0; attempt < 10; attempt++) {
    if (await create(file)) {
      held.add(file);
      return {
        async release() {
          if (held.delete(file)) await unlink(file).catch(() => undefined);
        },
      };
    }
    const pid = await holder(file);
    if (alive(pid, file)) throw new InUse(pid);
    await removeStale(file, pid);
  }
  throw new InUse(await holder(file));
}

async function create(file: string): Promise<boolean> {
  try {
    const handle = await open(file, 'wx', 0o600);
    try {
      await handle.writeFile(`${process.pid}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw error;
  }
}

async function holder(file: string): Promise<string> {
  return (await readFile(file, 'utf8').catch(() => '')).trim();
}

function alive(pid: string, file: string): boolean {
  const number = Number(pid);
  if (!/^\d+$/.test(pid) || number === 0) return false;
  if (number === process.pid) return held.has(file);
  try {
    process.kill(number, 0);
    return true;
  } catch (error) {
    return systemCode(error) !== 'ESRCH';
  }
}

/** Takes a stale file away; if somebody replaced it meanwhile, theirs is put back. */
async function removeStale(file: string, pid: string): Promise<void> {
  const aside = `${file}.${randomUUID()}.stale`;
  try {
    await rename(file, aside);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return;
    throw error;
  }
  if ((await holder(aside)) !== pid) await link(aside, file).catch(() => undefined);
  await unlink(aside);
}
