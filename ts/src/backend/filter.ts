/** The filter engine of 10 §6 and the JSON check of durable transports. */
export interface FilterDoor {
  /** Compiles a filter text; throws an `Error` whose message is the reason alone. */
  readonly Filter: new (
    text: string,
  ) => RawFilter;
  /** Whether `bytes` are exactly one JSON value in valid UTF-8 (white space around it allowed, nesting at most 128). */
  isJson(bytes: Uint8Array): boolean;
}

/** Handle of a compiled filter in Rust. */
export interface RawFilter {
  /** Whether the event matches. What is not wholly valid JSON matches nothing. */
  matches(event: Uint8Array): boolean;
  /**
   * Tests a packed batch: event `i` is `data.subarray(ends[i - 1] ?? 0, ends[i])`. Answers one byte an event, 1 = matches.
   * Throws when the ends are not ascending or lie behind the data.
   */
  matchMany(data: Uint8Array, ends: Uint32Array): Uint8Array;
  /** Frees the memory now (WebAssembly only; otherwise left to the garbage collector). */
  free?(): void;
}
