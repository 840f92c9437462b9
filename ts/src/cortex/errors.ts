/** From the core's texts to the classes that users catch. */
import { CortexError, MeshringError, NetDbError } from '../errors.js';

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
