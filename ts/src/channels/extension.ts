/**
 * Membership messages that only nodes of ours send each other: a member was dropped, and channels below a prefix. The
 * published package ignores their types.
 */
import { channelNameProblem, isChannelPrefix } from '../channel-name/index.js';
import { TOKEN_BYTES } from '../identity/index.js';
import { REJECT_REASONS, type RejectReason } from './membership.js';

/** Most tokens of one request for the channels below a prefix. */
export const MAX_PRESENTED_TOKENS = 8;
/** Bytes of names in one answer: it fits a datagram that every path carries. */
export const LISTED_BYTES = 1024;

/** A message of type 3 and up. */
export type ExtensionMessage =
  | {
      /** The publisher took its receiver off a channel; answered by an ack. */
      readonly type: 'dropped';
      readonly nonce: bigint;
      readonly channel: string;
      readonly reason: RejectReason;
    }
  | {
      /** Asks for the channels below a prefix that the sender may subscribe to, and to be told of changes. */
      readonly type: 'list';
      readonly nonce: bigint;
      /** Whole segments; '' = every channel. */
      readonly prefix: string;
      /** Only names behind this one; '' = from the beginning. */
      readonly after: string;
      /** Bytes of at most 8 tokens, not checked here. */
      readonly tokens: readonly Uint8Array[];
    }
  | {
      /** Answers `list`, in order of the names. */
      readonly type: 'listed';
      readonly nonce: bigint;
      readonly reason: RejectReason;
      /** Whether there are names behind the last one. */
      readonly more: boolean;
      readonly names: readonly string[];
    }
  | {
      /** The channels below a prefix are to be asked for again, or (`unlist`) no more; answered by an ack. */
      readonly type: 'changed' | 'unlist';
      readonly nonce: bigint;
      readonly prefix: string;
    };

const TYPES = ['dropped', 'list', 'listed', 'changed', 'unlist'] as const;
const FIRST_TYPE = 3;
const HEAD = 9;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Whether a name is below a prefix; '' is above every name. */
export function isBelow(prefix: string, name: string): boolean {
  return prefix === '' || isChannelPrefix(prefix, name);
}

function namesOf(message: ExtensionMessage): readonly string[] {
  switch (message.type) {
    case 'dropped':
      return [message.channel];
    case 'list':
      return [message.prefix, message.after];
    case 'listed':
      return message.names;
    default:
      return [message.prefix];
  }
}

/** Bytes of a message. Names must be valid, tokens 169 bytes long and at most 8. */
export function encodeExtension(message: ExtensionMessage): Uint8Array {
  const out: number[] = [FIRST_TYPE + TYPES.indexOf(message.type)];
  const nonce = new Uint8Array(8);
  new DataView(nonce.buffer).setBigUint64(0, message.nonce, true);
  out.push(...nonce);
  if (message.type === 'dropped' || message.type === 'listed') out.push(REJECT_REASONS.indexOf(message.reason));
  if (message.type === 'listed') out.push(message.more ? 1 : 0, message.names.length & 255, message.names.length >> 8);
  for (const name of namesOf(message)) {
    const problem = name === '' && message.type !== 'dropped' ? undefined : channelNameProblem(name);
    if (problem !== undefined) throw new RangeError(`channel: invalid name: ${problem}`);
    const bytes = encoder.encode(name);
    out.push(bytes.length, ...bytes);
  }
  if (message.type === 'list') {
    if (message.tokens.length > MAX_PRESENTED_TOKENS || message.tokens.some(({ length }) => length !== TOKEN_BYTES)) {
      throw new RangeError(`membership: at most ${MAX_PRESENTED_TOKENS} tokens of ${TOKEN_BYTES} bytes`);
    }
    out.push(message.tokens.length);
    for (const token of message.tokens) out.push(...token);
  }
  return Uint8Array.from(out);
}

/** Reads the fields of a message one after the other; every one is `undefined` behind a fault. */
class Fields {
  #at = HEAD;
  #bad = false;

  constructor(readonly bytes: Uint8Array) {}

  get complete(): boolean {
    return !this.#bad && this.#at === this.bytes.length;
  }

  take(count: number): Uint8Array {
    const from = this.#at;
    this.#at += count;
    if (this.#at > this.bytes.length) this.#bad = true;
    return this.#bad ? new Uint8Array() : this.bytes.subarray(from, from + count);
  }

  byte(most: number): number {
    const [value = 0] = this.take(1);
    if (value > most) this.#bad = true;
    return this.#bad ? 0 : value;
  }

  name(mayBeEmpty: boolean): string {
    const bytes = this.take(this.byte(255));
    if (bytes.length === 0) {
      if (!mayBeEmpty) this.#bad = true;
      return '';
    }
    try {
      const name = decoder.decode(bytes);
      if (channelNameProblem(name) === undefined) return name;
    } catch {
      // Not UTF-8.
    }
    this.#bad = true;
    return '';
  }

  reason(): RejectReason {
    return REJECT_REASONS[this.byte(REJECT_REASONS.length - 1)] ?? 'none';
  }

  names(): string[] {
    const count = this.byte(255) | (this.byte(255) << 8);
    const names: string[] = [];
    while (names.length < count && !this.#bad) names.push(this.name(false));
    // In order and each once: who asks for what lies behind the last one gets nothing again.
    if (names.some((name, at) => at > 0 && name <= (names[at - 1] ?? ''))) this.#bad = true;
    return names;
  }

  tokens(): Uint8Array[] {
    const count = this.byte(MAX_PRESENTED_TOKENS);
    return Array.from({ length: this.#bad ? 0 : count }, () => new Uint8Array(this.take(TOKEN_BYTES)));
  }
}

/** Decodes received bytes; `undefined` for anything malformed. Tokens are copied. */
export function decodeExtension(bytes: Uint8Array): ExtensionMessage | undefined {
  const type = TYPES[(bytes[0] ?? 0) - FIRST_TYPE];
  if (bytes.length < HEAD || type === undefined) return undefined;
  const nonce = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getBigUint64(1, true);
  const fields = new Fields(bytes);
  const message = ((): ExtensionMessage => {
    switch (type) {
      case 'dropped': {
        const reason = fields.reason();
        return { type, nonce, reason, channel: fields.name(false) };
      }
      case 'list': {
        const prefix = fields.name(true);
        const after = fields.name(true);
        return { type, nonce, prefix, after, tokens: fields.tokens() };
      }
      case 'listed': {
        const reason = fields.reason();
        const more = fields.byte(1) === 1;
        return { type, nonce, reason, more, names: fields.names() };
      }
      default:
        return { type, nonce, prefix: fields.name(true) };
    }
  })();
  return fields.complete ? message : undefined;
}
