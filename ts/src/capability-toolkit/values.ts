/** Grammars of values: numbers and versions, as the core reads them (41 §6). */

const NUMBER = /^[+-]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|(inf|infinity)|nan)$/i;

/** A number of the core's grammar, or NaN for anything else (which no comparison accepts). */
export function parseNumber(text: string): number {
  const match = NUMBER.exec(text);
  if (!match) return Number.NaN;
  if (match[1] === undefined) return Number(text);
  return text.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
}

/** Major, minor, patch. Parts that fit are numbers, larger ones bigints: both compare with each other. */
export type Version = readonly [number | bigint, number | bigint, number | bigint];

const U64_MAX = 0xffff_ffff_ffff_ffffn;

const SPACE = /^\p{White_Space}$/u;

/** Without white space at both ends: what Unicode calls so (`trim` means a few other characters). */
function trimmed(text: string): string {
  let from = 0;
  let to = text.length;
  while (from < to && SPACE.test(text.charAt(from))) from += 1;
  while (to > from && SPACE.test(text.charAt(to - 1))) to -= 1;
  return text.slice(from, to);
}

function parsePart(part: string): number | bigint | undefined {
  const digits = /^[0-9]+$/.test(part) ? part : trimmed(part);
  if (!/^[0-9]+$/.test(digits)) return undefined;
  if (digits.length <= 15) return Number(digits);
  const significant = digits.replace(/^0+/, '');
  if (significant.length > 20) return undefined;
  const value = BigInt(significant);
  return value <= U64_MAX ? value : undefined;
}

/** One to three unsigned 64-bit parts; what follows the first `-` or `+` is cut. */
export function parseVersion(text: string): Version | undefined {
  const cut = text.search(/[-+]/);
  const parts = (cut < 0 ? text : text.slice(0, cut)).split('.', 4);
  if (parts.length > 3) return undefined;
  const version: (number | bigint)[] = [];
  for (const part of parts) {
    const value = parsePart(part);
    if (value === undefined) return undefined;
    version.push(value);
  }
  return [version[0] ?? 0, version[1] ?? 0, version[2] ?? 0];
}

/** Negative, 0 or positive, as `a` comes before, with or after `b`. */
export function compareVersions(a: Version, b: Version): number {
  for (const i of [0, 1, 2] as const) {
    if (a[i] < b[i]) return -1;
    if (a[i] > b[i]) return 1;
  }
  return 0;
}

/** Whether `value` lies in the caret range of `reference`. */
export function isCompatible(value: Version, reference: Version): boolean {
  if (compareVersions(value, reference) < 0) return false;
  // Parts may be a number here and a bigint there: only == compares across.
  if (reference[0] > 0) return sameNumber(value[0], reference[0]);
  if (reference[1] > 0) return value[0] <= 0 && sameNumber(value[1], reference[1]);
  return compareVersions(value, reference) === 0;
}

function sameNumber(a: number | bigint, b: number | bigint): boolean {
  return a <= b && a >= b;
}
