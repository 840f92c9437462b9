/** Reading the CortEX vectors, and a snapshot encoder of its own for building states. */

/** Bytes of hex digits; a `Buffer` where there is one. */
export function bytes(digits: string): Buffer {
  const plain = Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
  return (typeof Buffer === 'undefined' ? plain : Buffer.from(plain)) as Buffer;
}

/** Hex digits of bytes. */
export function hex(value: Uint8Array): string {
  return Array.from(value, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** A row with decimal strings for 64-bit values. */
export function plain(row: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(row).map(([key, value]) => [key, typeof value === 'bigint' ? String(value) : value]),
  );
}

function varint(value: bigint): number[] {
  const out: number[] = [];
  for (let rest = value; ; ) {
    const bits = Number(rest & 0x7fn);
    rest >>= 7n;
    if (rest === 0n) return [...out, bits];
    out.push(bits | 0x80);
  }
}

const number = (value: string) => varint(BigInt(value));

function string(value: string): number[] {
  const utf8 = new TextEncoder().encode(value);
  return [...varint(BigInt(utf8.length)), ...utf8];
}

/** One task entry of a snapshot. */
export function taskOf(task: {
  id: string;
  title: string;
  status: string;
  createdNs: string;
  updatedNs: string;
}): number[] {
  const id = number(task.id);
  const status = task.status === 'Completed' ? 1 : 0;
  return [...id, ...id, ...string(task.title), status, ...number(task.createdNs), ...number(task.updatedNs)];
}

/** One memory entry of a snapshot. */
export function memoryOf(memory: {
  id: string;
  content: string;
  tags: string[];
  source: string;
  createdNs: string;
  updatedNs: string;
  pinned: boolean;
}): number[] {
  const id = number(memory.id);
  const tags = [...varint(BigInt(memory.tags.length)), ...memory.tags.flatMap(string)];
  const times = [...number(memory.createdNs), ...number(memory.updatedNs)];
  return [...id, ...id, ...string(memory.content), ...tags, ...string(memory.source), ...times, memory.pinned ? 1 : 0];
}

/** State bytes with these entries and counter 0. */
export function snapshotBytes(entries: number[][]): Uint8Array {
  const inner = [...varint(BigInt(entries.length)), ...entries.flat()];
  return bytes(hex(Uint8Array.from([0, ...varint(BigInt(inner.length)), ...inner])));
}
