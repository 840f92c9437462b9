import { MeshringError, wrongType } from '../errors.js';
import { U64_MAX, u64 } from './u64.js';

/** Names one write: who wrote it and its sequence in the log. Hand it to a reader, who waits for it. */
export class WriteToken {
  readonly #originHash: bigint;
  readonly #seq: bigint;

  constructor(originHash: bigint, seq: bigint) {
    this.#originHash = u64(originHash);
    this.#seq = u64(seq);
  }

  /** Origin of the write. */
  get originHash(): bigint {
    return this.#originHash;
  }

  /** Sequence in the model's log. */
  get seq(): bigint {
    return this.#seq;
  }

  /** 16 hex digits of the origin, a colon, the sequence in decimal. */
  toString(): string {
    return `${hex16(this.#originHash)}:${this.#seq}`;
  }

  /** Reads what `toString` wrote; throws with `WriteToken parse: …`. */
  static fromString(text: string): WriteToken {
    const fail = (detail: string) =>
      new MeshringError('invalid-argument', `WriteToken parse: ${detail}`, { code: 'InvalidArg' });
    if (typeof text !== 'string') throw wrongType('WriteToken.fromString', 'text', text, 'a string', 'StringExpected');
    const colon = text.indexOf(':');
    if (colon < 0) throw fail('expected `<origin_hex>:<seq>`');
    const origin = text.slice(0, colon);
    if (!/^[0-9a-fA-F]{16}$/.test(origin)) throw fail('origin must be 16 lowercase hex chars');
    const digits = text.slice(colon + 1);
    // A leading plus sign is part of the number in the peer's parser.
    const seq = /^\+?[0-9]+$/.test(digits) ? BigInt(digits.replace('+', '')) : -1n;
    if (seq < 0n || seq > U64_MAX) throw fail('seq must be a decimal u64');
    return new WriteToken(BigInt(`0x${origin}`), seq);
  }
}

/** 16 lower-case hex digits. */
export function hex16(value: bigint): string {
  return value.toString(16).padStart(16, '0');
}
