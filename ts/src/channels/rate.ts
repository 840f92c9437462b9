/** Packets per second of a channel: a bucket as large as the rate. */
export class ChannelRate {
  readonly #perSecond: number;
  #tokens: number;
  #sinceMs: number;

  /** `nowMs`: milliseconds that never go back. */
  constructor(perSecond: number, nowMs: number) {
    this.#perSecond = perSecond;
    this.#tokens = perSecond;
    this.#sinceMs = nowMs;
  }

  /** Takes `packets` out of the bucket; `false`, with nothing taken, when they are not in it. */
  take(packets: number, nowMs: number): boolean {
    this.#tokens = Math.min(this.#perSecond, this.#tokens + ((nowMs - this.#sinceMs) * this.#perSecond) / 1000);
    this.#sinceMs = nowMs;
    if (this.#tokens < packets) return false;
    this.#tokens -= packets;
    return true;
  }
}
