import { ZebusError } from '../errors.js';

const UNITS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  ms: 1,
  s: 1000,
  sec: 1000,
  secs: 1000,
  second: 1000,
  seconds: 1000,
  m: 60_000,
  min: 60_000,
  mins: 60_000,
  minute: 60_000,
  minutes: 60_000,
  h: 3_600_000,
  hour: 3_600_000,
  hours: 3_600_000,
  d: 86_400_000,
  day: 86_400_000,
  days: 86_400_000,
  w: 604_800_000,
  week: 604_800_000,
  weeks: 604_800_000,
};

/** A duration: milliseconds, or text of integers with units that are summed, such as `1min 30s`. */
export type Duration = number | string;

/** Milliseconds of a duration. Throws `configuration`, naming the key. */
export function durationMs(value: Duration, key: string): number {
  if (typeof value === 'number') {
    if (Number.isFinite(value) && value >= 0) return value;
    throw new ZebusError('configuration', `${key}: invalid duration ${value}`);
  }
  const text = value.trim();
  if (!/^(\d+\s*[a-z]+\s*)+$/i.test(text)) {
    throw new ZebusError(
      'configuration',
      `${key}: invalid duration ${JSON.stringify(value)}, expected e.g. "1min 30s"`,
    );
  }
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+)\s*([a-z]+)/gi)) {
    const factor = UNITS[unit as string];
    if (factor === undefined) throw new ZebusError('configuration', `${key}: unknown unit ${unit} in ${value}`);
    total += Number(amount) * factor;
  }
  return total;
}

/** Text for messages: `10s`, `200ms`. */
export function durationText(ms: number): string {
  return ms >= 1000 && ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`;
}
