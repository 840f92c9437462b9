/** Header of a CortEX event (51 §2): what stands before the model's own bytes in every record of the log. */
import { xxh3 } from '../hash/index.js';
import { low } from './u64.js';

/** Bytes of the header. */
export const HEADER = 24;
const ORIGIN = 4;
const COUNTER = 12;
const CHECKSUM = 20;

/** First byte of an event: what it says. */
export const Dispatch = {
  TaskCreated: 0x01,
  TaskRenamed: 0x02,
  TaskCompleted: 0x03,
  TaskDeleted: 0x04,
  MemoryStored: 0x10,
  MemoryRetagged: 0x11,
  MemoryPinned: 0x12,
  MemoryUnpinned: 0x13,
  MemoryDeleted: 0x14,
} as const;

function write32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

/** Unsigned 32 bits, little-endian. */
export function read32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)) >>>
    0
  );
}

/** Fills the header in front of a tail that is in place already, but for the checksum. */
export function putHeader(
  event: Uint8Array,
  dispatch: number,
  originLo: number,
  originHi: number,
  counterLo: number,
  counterHi: number,
): void {
  event[0] = dispatch;
  event[1] = 0;
  event[2] = 0;
  event[3] = 0;
  write32(event, ORIGIN, originLo);
  write32(event, ORIGIN + 4, originHi);
  write32(event, COUNTER, counterLo);
  write32(event, COUNTER + 4, counterHi);
}

/** Fills in the checksum, for events that the log does not seal itself because of their size. */
export function seal(event: Uint8Array): void {
  write32(event, CHECKSUM, 0);
  write32(event, CHECKSUM, low(xxh3(event)));
}

/** Whether the checksum holds: the current one over header and tail, or the older one over the tail alone. */
export function intact(event: Uint8Array): boolean {
  if (event.length < HEADER) return false;
  const stored = read32(event, CHECKSUM);
  const masked = event.slice();
  masked.fill(0, 2, 4);
  masked.fill(0, CHECKSUM, HEADER);
  return low(xxh3(masked)) === stored || low(xxh3(event.subarray(HEADER))) === stored;
}

/** Low half of the origin (`counter`: of the counter); the high half stands 4 bytes on. */
export const OFFSET = { origin: ORIGIN, counter: COUNTER } as const;
