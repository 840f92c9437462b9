/** Tags of chains and their heat, as edits of a node's own tags (40 §12). */
import { MeshringError } from '../errors.js';

/** Origin hash as tags spell it: 16 lower hex digits. */
export function chainHex(origin: bigint): string {
  return BigInt.asUintN(64, origin).toString(16).padStart(16, '0');
}

/** Whether a tag says in any form that its node holds the chain. */
export function holdsChain(tag: string, hex: string): boolean {
  const body = `causal:${hex}`;
  return tag.startsWith(body) && ['', ':', '['].includes(tag.charAt(body.length));
}

/** Tags without any form of the chain. */
export function withoutChain(tags: readonly string[], origin: bigint): string[] {
  const hex = chainHex(origin);
  return tags.filter((tag) => !holdsChain(tag, hex));
}

/** Tags that say the chain is held up to a sequence number. */
export function withChainTip(tags: readonly string[], origin: bigint, tip: bigint): string[] {
  return [...withoutChain(tags, origin), `causal:${chainHex(origin)}:${tip}`];
}

/** Tags that say the range [start, end) is held; unchanged for an empty range. */
export function withChainRange(tags: readonly string[], origin: bigint, start: bigint, end: bigint): string[] {
  if (start >= end) return [...tags];
  return [...withoutChain(tags, origin), `causal:${chainHex(origin)}[${start}..${end}]`];
}

/** Two decimals. Of a rate that lies exactly between two (an odd multiple of 1/8), the even one, as peers write it. */
function hundredths(rate: number): string {
  const isTie = Number.isInteger(rate * 8) && !Number.isInteger(rate * 4);
  return isTie ? ((2 * Math.round(rate * 50)) / 100).toFixed(2) : rate.toFixed(2);
}

function heat(tags: readonly string[], prefix: string, rate: number, what: string): string[] {
  if (!Number.isFinite(rate)) throw new MeshringError('invalid-argument', `${what} must be finite`);
  const shown = hundredths(Math.min(1, Math.max(0, rate)));
  return [...tags.filter((tag) => !tag.startsWith(`${prefix}=`)), `${prefix}=${shown}`];
}

/** Tags with the heat of a chain, a rate in [0, 1]. */
export function withChainHeat(tags: readonly string[], origin: bigint, rate: number): string[] {
  return heat(tags, `heat:${chainHex(origin)}`, rate, 'heat rate');
}

/** Tags with the heat of a blob (64 hex digits), a rate in [0, 1]. */
export function withBlobHeat(tags: readonly string[], blobHex: string, rate: number): string[] {
  return heat(tags, `heat:blob:${blobHex}`, rate, 'blob heat rate');
}
