import { ZebusError } from '../errors.js';

/** 100 ns units since 1970-01-01 UTC: the precision of the peers' time stamps. */
export type Ticks = bigint;

/** Wire form of a time: `value` in units of `scale` since 1970-01-01 (71 §5). */
export interface WireDateTime {
  value: bigint;
  scale: number;
  kind?: number;
}

const TICKS_PER_SCALE: readonly bigint[] = [864_000_000_000n, 36_000_000_000n, 600_000_000n, 10_000_000n, 10_000n, 1n];
const TICKS = 5;
const MINMAX = 15;
const UTC = 1;
/** 0001-01-01T00:00:00 and 9999-12-31T23:59:59.9999999, the ends of the .NET range. */
export const MIN_TICKS: Ticks = -621_355_968_000_000_000n;
export const MAX_TICKS: Ticks = 2_534_023_007_999_999_999n;

/** Ticks of a wire time; every kind is read as UTC. */
export function ticksFromWire(wire: WireDateTime): Ticks {
  if (wire.scale === MINMAX) {
    if (wire.value === 1n) return MAX_TICKS;
    if (wire.value === -1n) return MIN_TICKS;
    throw new ZebusError('codec', `invalid MINMAX time ${wire.value}`);
  }
  const unit = TICKS_PER_SCALE[wire.scale];
  if (unit === undefined) throw new ZebusError('codec', `invalid time scale ${wire.scale}`);
  return wire.value * unit;
}

/** Wire time of ticks: always TICKS and UTC, which every peer reads. */
export function wireFromTicks(ticks: Ticks): WireDateTime {
  return { value: ticks, scale: TICKS, kind: UTC };
}

/** `Date` view; the last four digits are lost, times outside the range of `Date` are clamped to it. */
export function dateFromTicks(ticks: Ticks): Date {
  const ms = Number(ticks >= 0n ? ticks / 10_000n : (ticks - 9_999n) / 10_000n);
  return new Date(Math.max(-8.64e15, Math.min(8.64e15, ms)));
}

/** Ticks of a `Date` or of ticks themselves. */
export function ticksFromDate(time: Date | Ticks): Ticks {
  if (typeof time === 'bigint') return time;
  const ms = time.getTime();
  if (Number.isNaN(ms)) throw new ZebusError('codec', 'invalid Date');
  return BigInt(ms) * 10_000n;
}

/** Strictly increasing time stamps of one peer: max(now, last + 1). */
export class TickClock {
  private last = 0n;
  private readonly now: () => number;

  constructor(now: () => number = Date.now) {
    this.now = now;
  }

  next(): Ticks {
    const now = BigInt(Math.trunc(this.now())) * 10_000n;
    this.last = now > this.last ? now : this.last + 1n;
    return this.last;
  }
}
