/** Exit codes of the command; documented in docs/cli.md. */
export const EXIT = {
  /** Everything was done. */
  ok: 0,
  /** Wrong arguments, or nothing could be started. */
  failed: 1,
  /** Done in part: lines refused, events not delivered, or problems found. */
  incomplete: 2,
  /** Interrupted by SIGINT, after what was accepted had been delivered. */
  interrupted: 130,
} as const;

/** A signal that aborts at the first SIGINT or SIGTERM; the second one ends the process at once. */
export function interruption(): AbortSignal {
  const controller = new AbortController();
  const stop = () => {
    if (controller.signal.aborted) process.exit(EXIT.interrupted);
    controller.abort();
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  return controller.signal;
}

/** A reader of our output that went away (`| head`) ends the command quietly. */
export function endWithReader(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT.ok);
    throw error;
  });
}
