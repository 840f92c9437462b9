/** Socket addresses as text and as the 19 bytes of the traversal messages (33 A3). */
import { isSocketAddress } from '../check.js';

/** An address that datagrams can go to. */
export interface SocketAddress {
  /** 4 or 16 bytes. */
  readonly ip: Uint8Array;
  /** 0..65535. */
  readonly port: number;
}

/** Bytes of an encoded address. */
export const ADDRESS_BYTES = 19;

/** IPv4 within IPv6, as a socket of both families shows it. */
const MAPPED = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/** IPv6 text in its canonical form, without brackets. */
function canonicalIpv6(text: string): string {
  return new URL(`http://[${text}]/`).hostname.slice(1, -1);
}

function ipv6Bytes(text: string): Uint8Array {
  const [before = '', after] = canonicalIpv6(text).split('::');
  const groups = (part: string) => (part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16)));
  const head = groups(before);
  const tail = after === undefined ? [] : groups(after);
  const all = [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail];
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}

/** IPv4 within IPv6 as IPv4: it is sent there, and whatever holds for such an address has to hold. */
function normal(ip: Uint8Array): Uint8Array {
  return ip.length === 16 && MAPPED.every((byte, at) => ip[at] === byte) ? ip.slice(12) : ip;
}

/** Reads `a.b.c.d:port` or `[v6]:port`; IPv4 within IPv6 becomes IPv4. */
export function parseAddress(text: string): SocketAddress | undefined {
  if (!isSocketAddress(text)) return undefined;
  const colon = text.lastIndexOf(':');
  const port = Number(text.slice(colon + 1));
  if (!text.startsWith('[')) return { ip: Uint8Array.from(text.slice(0, colon).split('.'), Number), port };
  return { ip: normal(ipv6Bytes(text.slice(1, colon - 1))), port };
}

/** The text of an address. */
export function formatAddress({ ip, port }: SocketAddress): string {
  if (ip.length === 4) return `${ip.join('.')}:${port}`;
  const groups = Array.from({ length: 8 }, (_, n) => (((ip[2 * n] ?? 0) << 8) | (ip[2 * n + 1] ?? 0)).toString(16));
  return `[${canonicalIpv6(groups.join(':'))}]:${port}`;
}

/** `family u8 ‖ address [16] ‖ port u16 BE`. */
export function encodeAddress({ ip, port }: SocketAddress): Uint8Array {
  const out = new Uint8Array(ADDRESS_BYTES);
  out[0] = ip.length === 4 ? 4 : 6;
  out.set(ip, 1);
  out[17] = port >> 8;
  out[18] = port & 0xff;
  return out;
}

/** Reads 19 bytes from `at` on; `undefined` for another family. Filler behind IPv4 is not looked at, IPv4 within IPv6 becomes IPv4. */
export function decodeAddress(bytes: Uint8Array, at = 0): SocketAddress | undefined {
  const family = bytes[at];
  if (bytes.length < at + ADDRESS_BYTES || (family !== 4 && family !== 6)) return undefined;
  const port = ((bytes[at + 17] ?? 0) << 8) | (bytes[at + 18] ?? 0);
  return { ip: normal(bytes.slice(at + 1, at + (family === 4 ? 5 : 17))), port };
}

/** `0.0.0.0` or `::`. */
export function isUnspecified({ ip }: SocketAddress): boolean {
  return ip.every((byte) => byte === 0);
}

/** `127.0.0.0/8` or `::1`. */
export function isLoopback({ ip }: SocketAddress): boolean {
  return ip.length === 4 ? ip[0] === 127 : ip.every((byte, at) => byte === (at === 15 ? 1 : 0));
}

/**
 * Whether a node bound to `own` may send to an address that somebody else names: one host, and loopback only from
 * loopback (33 A8.2).
 */
export function isSendable(address: SocketAddress, own: SocketAddress): boolean {
  const { ip, port } = address;
  if (port === 0 || isUnspecified(address)) return false;
  if (ip.length === 4 ? ip[0] === 0 || (ip[0] ?? 0) >= 224 : ip[0] === 0xff) return false;
  return !isLoopback(address) || isLoopback(own);
}

/** The address as the engine of a node bound to `own` names it: a socket of IPv6 sees IPv4 as a part of it. */
export function linkOf(address: SocketAddress, own: SocketAddress): string {
  const text = formatAddress(address);
  if (own.ip.length === 4 || address.ip.length !== 4) return text;
  return `[::ffff:${address.ip.join('.')}]:${address.port}`;
}
