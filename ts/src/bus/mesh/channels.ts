/** The channels of a mesh node as a bus: what is emitted is published, what arrives on subscribed channels is read. */
import { channelNameProblem } from '../../channel-name/index.js';
import { MeshringError, messageOf } from '../../errors.js';
import { delay } from '../../flow/index.js';
import { packetRecords } from '../../mesh/batch.js';
import { type MeshEvent, MeshNode, patternMatcher } from '../../mesh/index.js';
import type { ChannelsOptions, NetNodeConfig } from '../../types.js';
import { type Batch, type InboundLog, type Transport, TransportError } from '../transport.js';
import { channelOf, withChannel } from './channel-mark.js';
import { InboundEvents, readInLog } from './inbound-events.js';
import { MESH_EVENT_BYTES } from './limits.js';

/** How long a publish that the channel's rate refused waits, ms. */
const RATE_WAIT_MS = 20;
const NO_CHANNEL = 'an event names no channel: set `_channel` in it, or the option `publish`';

function invalid(text: string): MeshringError {
  return new MeshringError('invalid-config', text);
}

function checkOptions({ node, publish, channels, reliability }: ChannelsOptions): void {
  if (!(node instanceof MeshNode)) throw invalid('Invalid transport: node must be a MeshNode');
  const problem = publish === undefined ? undefined : channelNameProblem(publish);
  if (problem !== undefined) throw invalid(`Invalid transport: publish: ${problem}`);
  if (channels !== undefined && !Array.isArray(channels)) throw invalid('Invalid transport: channels must be an array');
  if (reliability !== undefined && reliability !== 'fire_and_forget' && reliability !== 'reliable') {
    throw invalid(`Invalid transport: reliability must be fire_and_forget or reliable, got ${String(reliability)}`);
  }
}

/** Transport `{ type: 'channels' }`. */
export class ChannelsTransport implements Transport {
  readonly name = 'channels';
  readonly maxEventBytes = MESH_EVENT_BYTES;
  readonly #options: ChannelsOptions;
  readonly #config: NetNodeConfig;
  /** Which channels are read. */
  readonly #reads: (name: string) => boolean;
  /** Last batch of each shard, done or not: one that took too long is asked for again and must not be sent again. */
  readonly #jobs = new Map<number, { readonly sequence: bigint; readonly done: Promise<void> }>();
  readonly #abort = new AbortController();
  readonly pollShard = readInLog;
  #events: InboundEvents | undefined;
  #stopReading: () => void = () => {};
  #unrouted = 0n;
  #final: Record<string, unknown> | undefined;

  constructor(options: ChannelsOptions, config: NetNodeConfig) {
    checkOptions(options);
    const wanted = options.channels?.map(patternMatcher) ?? [() => true];
    this.#reads = (name) => wanted.some((matches) => matches(name));
    this.#options = options;
    this.#config = config;
  }

  get inbound(): InboundLog | undefined {
    return this.#events?.log;
  }

  async init(): Promise<void> {
    const core = MeshNode.coreOf(this.#options.node);
    if (core.closed) throw new TransportError('fatal', 'the mesh node has been shut down');
    const inbound = new InboundEvents(this.#config, () => core.inbox.pump());
    this.#events = inbound;
    const append = (events: readonly MeshEvent[]) => {
      const marked = events.map(({ streamId, bytes, channel }) => ({
        streamId,
        // Whatever a publisher wrote there: the channel is the one that it came on.
        bytes: channel === undefined ? bytes : withChannel(bytes, channel),
      }));
      inbound.append(packetRecords(marked));
    };
    this.#stopReading = core.inbox.onEvents(append, { channel: this.#reads });
  }

  onBatch(batch: Batch): Promise<void> {
    const before = this.#jobs.get(batch.shardId);
    if (before?.sequence === batch.sequenceStart) return before.done;
    const done = this.#publishAll(batch);
    this.#jobs.set(batch.shardId, { sequence: batch.sequenceStart, done });
    return done;
  }

  /** Publishes runs of events of the same channel, in order. */
  async #publishAll({ count, data, ends }: Batch): Promise<void> {
    let failed = 0;
    let failure: string | undefined;
    let run: Uint8Array[] = [];
    let channel: string | undefined;
    const send = async () => {
      if (run.length === 0) return;
      const problem = channel === undefined ? NO_CHANNEL : await this.#publish(channel, run);
      if (channel === undefined) this.#unrouted += BigInt(run.length);
      if (problem !== undefined) {
        failed += run.length;
        failure = problem;
      }
      run = [];
    };
    for (let n = 0; n < count; n++) {
      const event = data.subarray(n === 0 ? 0 : ends[n - 1], ends[n]);
      const named = channelOf(event);
      const to = named !== undefined && channelNameProblem(named) === undefined ? named : this.#options.publish;
      if (to !== channel) {
        await send();
        channel = to;
      }
      run.push(event);
    }
    await send();
    if (failure !== undefined) throw new TransportError('fatal', failure, { stored: count - failed });
  }

  /** Publishes as soon as rate and credit allow it; the reason when that is not possible. */
  async #publish(channel: string, payloads: readonly Uint8Array[]): Promise<string | undefined> {
    const { node, reliability } = this.#options;
    const control = MeshNode.controlOf(node);
    const how = { onFailure: 'collect', onBackpressure: 'wait', ...(reliability ? { reliability } : {}) } as const;
    for (;;) {
      try {
        await control.publish(channel, payloads, how);
        return undefined;
      } catch (error) {
        const limited = error instanceof MeshringError && error.kind === 'rate-limited';
        if (!limited || this.#abort.signal.aborted) return messageOf(error);
      }
      try {
        await delay(RATE_WAIT_MS, { signal: this.#abort.signal });
      } catch {
        // Shut down: tried once more, and then given up.
      }
    }
  }

  /** Batches are published one by one: nothing is left to wait for. */
  async flush(): Promise<void> {}

  async shutdown(): Promise<void> {
    if (this.#final) return;
    this.#abort.abort();
    this.#stopReading();
    this.#final = this.stats();
    this.#events?.close();
  }

  checkId(): string | undefined {
    return undefined;
  }

  healthy(): boolean {
    return !MeshNode.coreOf(this.#options.node).closed;
  }

  stats(): Record<string, unknown> {
    if (this.#final || !this.#events) return this.#final ?? {};
    return { ...this.#events.stats(), eventsUnrouted: this.#unrouted };
  }
}
