/** From the core's texts to the classes that users catch. */
import { CortexError, MeshringError, messageOf, NetDbError } from '../errors.js';

/** `cortex: …` becomes a CortexError, `netdb: …` a NetDbError, with the same text; anything else is passed on as it is. */
export function typed(error: unknown): unknown {
  if (!(error instanceof MeshringError)) return error;
  const { message, kind } = error;
  if (message.startsWith('cortex:')) return new CortexError(message, { kind, cause: error });
  if (message.startsWith('netdb:')) return new NetDbError(message, { kind, cause: error });
  return error;
}

/** The same for everything that `work` throws. */
export async function typedLater<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw typed(error);
  }
}

/** An error of the core's adapters: `cortex: <detail>`. */
export function cortexError(kind: string, detail: string, cause?: unknown): MeshringError {
  return new MeshringError(kind, `cortex: ${detail}`, { cause });
}

/** Text of a log's error without its context: `redex: append: file closed` → `redex: file closed`. */
export function logText(error: unknown): string {
  const text = messageOf(error);
  return text.replace(/^redex: (?:open_file|append|append_batch|compact): /, 'redex: ');
}
