/** Records of the durable transports (11 §4.2, §4.3, §5.3, §6.3). */
export interface RecordDoor {
  /**
   * The events `from..to` of a batch as Redis bulk strings: `prefix`, record, `between`, id (`idPrefix` and the index in
   * the batch), one after the other.
   */
  redisRecords(
    data: Uint8Array,
    ends: Uint32Array,
    timestamps: BigUint64Array,
    shard: number,
    from: number,
    to: number,
    prefix: Uint8Array,
    between: Uint8Array,
    idPrefix: string,
  ): Uint8Array;
  /** The events `from..to` as publishes of the NATS protocol with `Nats-Msg-Id`; answers go to `replyPrefix` and index. */
  natsRecords(
    data: Uint8Array,
    ends: Uint32Array,
    timestamps: BigUint64Array,
    shard: number,
    from: number,
    to: number,
    subject: string,
    replyPrefix: string,
    idPrefix: string,
  ): Uint8Array;
  /** Journal entry of a batch, length and checksum in front. */
  journalEntry(
    data: Uint8Array,
    ends: Uint32Array,
    timestamps: BigUint64Array,
    shard: number,
    sequenceStart: bigint,
  ): Uint8Array;
  /** CRC-32C. */
  crc32c(bytes: Uint8Array): number;
  /** Packed page (layout: `native/src/record/page.rs`) of a complete answer to XRANGE; nothing when it is not one. */
  redisPage(answer: Uint8Array, limit: number): Uint8Array | null | undefined;
  /** Packed page of the message frames that a JetStream consumer delivered; nothing when they are not such frames. */
  natsPage(frames: Uint8Array, limit: number): Uint8Array | null | undefined;
  /** Advisory file locks; the addon alone has them. */
  readonly FileLock?: new (
    path: string,
    content: string,
  ) => RawFileLock;
}

/** A lock on a file, tried by the constructor, which then writes `content` into the file. */
export interface RawFileLock {
  /** Whether this object holds the lock; false when another holder had it. */
  readonly held: boolean;
  /** Gives the lock up. */
  release(): void;
}
