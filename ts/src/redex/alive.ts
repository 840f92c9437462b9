/**
 * Keeps a Node process alive while somebody awaits the next event of a tail; an idle log does not. Browsers need
 * nothing of the kind.
 */
interface Refable {
  ref?(): void;
  unref?(): void;
}

const LONGEST_DELAY_MS = 0x7fff_ffff;
let timer: Refable | null = null;
let holders = 0;

/** One more pending wait. */
export function hold(): void {
  holders += 1;
  if (holders > 1) return;
  if (timer === null) timer = setInterval(() => {}, LONGEST_DELAY_MS) as unknown as Refable;
  timer.ref?.();
}

/** One pending wait less. */
export function release(): void {
  holders -= 1;
  if (holders === 0) timer?.unref?.();
}
