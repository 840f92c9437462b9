import { setMaxListeners } from 'node:events';

/** A controller whose signal any number of shards may listen to. */
export function sharedAbort(): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  return controller;
}

/** A signal that aborts with the first of others. */
export interface LinkedSignal {
  readonly signal: AbortSignal;
  /** Ends the link: signals that live long must not collect listeners. */
  release(): void;
}

/** Links signals. `AbortSignal.any` would do, but holds on to its sources for as long as they live. */
export function linked(...sources: AbortSignal[]): LinkedSignal {
  const controller = sharedAbort();
  const abort = () => controller.abort();
  for (const source of sources) {
    if (source.aborted) abort();
    else source.addEventListener('abort', abort, { once: true });
  }
  const release = () => {
    for (const source of sources) source.removeEventListener('abort', abort);
  };
  return { signal: controller.signal, release };
}
