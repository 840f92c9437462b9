/** Arguments and options of mesh nodes, with the texts of the specification (30 §2, §3, §9.13). */
import { MeshringError, wrongType } from '../errors.js';

const SYNTAX = 'invalid socket address syntax';

function isPort(text: string): boolean {
  return /^\d{1,5}$/.test(text) && Number(text) <= 65_535;
}

function isIpv4(text: string): boolean {
  const parts = text.split('.');
  return parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255);
}

function isIpv6(text: string): boolean {
  if (!/^[0-9a-fA-F:.]+$/.test(text)) return false;
  try {
    return new URL(`http://[${text}]/`).hostname.length > 2;
  } catch {
    return false;
  }
}

/** Whether the text is `a.b.c.d:port` or `[v6]:port`. */
export function isSocketAddress(text: string): boolean {
  const six = /^\[([^\]%]+)\]:(\d+)$/.exec(text);
  if (six) return isIpv6(six[1] ?? '') && isPort(six[2] ?? '');
  const colon = text.lastIndexOf(':');
  return colon > 0 && isIpv4(text.slice(0, colon)) && isPort(text.slice(colon + 1));
}

/** Throws `<what>: invalid socket address syntax`. */
export function checkAddress(what: string, text: string): string {
  if (typeof text !== 'string') throw wrongType('MeshNode', what, text, 'a string', 'StringExpected');
  if (!isSocketAddress(text)) throw new MeshringError('invalid-config', `${what}: ${SYNTAX}`);
  return text;
}

/** Reads 32 bytes of hex; `what` begins the messages. */
export function checkHex(what: string, tooShort: string, text: string): Uint8Array {
  if (typeof text !== 'string') throw wrongType('MeshNode', what, text, 'a string', 'StringExpected');
  if (text.length % 2 === 1) throw new MeshringError('invalid-config', `invalid ${what} hex: Odd number of digits`);
  const wrong = /[^0-9a-fA-F]/u.exec(text);
  if (wrong) {
    throw new MeshringError(
      'invalid-config',
      `invalid ${what} hex: Invalid character '${wrong[0]}' at position ${wrong.index}`,
    );
  }
  if (text.length !== 64) throw new MeshringError('invalid-config', tooShort);
  return Uint8Array.from({ length: 32 }, (_, n) => Number.parseInt(text.slice(2 * n, 2 * n + 2), 16));
}

/** A 64-bit number, never wrapped. */
export function checkU64(method: string, name: string, value: bigint): bigint {
  if (typeof value !== 'bigint') throw wrongType(method, name, value, 'a bigint', 'BigintExpected');
  if (value < 0n) throw new MeshringError('invalid-argument', 'expected non-negative BigInt', { code: 'InvalidArg' });
  if (value >= 1n << 64n) {
    throw new MeshringError('invalid-argument', 'BigInt value exceeds u64 range', { code: 'InvalidArg' });
  }
  return value;
}

/** An integer within a range; absent = `byDefault`. */
export function checkInteger(
  name: string,
  value: number | undefined,
  least: number,
  most: number,
  byDefault: number,
): number {
  if (value === undefined || value === null) return byDefault;
  if (typeof value !== 'number') throw wrongType('MeshNode', name, value, 'a number', 'NumberExpected');
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new MeshringError('invalid-config', `${name} must be an integer in [${least}, ${most}]; got ${value}`);
  }
  return value;
}
