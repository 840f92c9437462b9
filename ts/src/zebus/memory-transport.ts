import { ZebusError } from '../errors.js';
import type { Destination, Transport, TransportEvents, TransportStats } from './transport.js';

let nextPort = 1;
const listening = new Map<string, MemoryTransport>();

/** Transport within one process, for tests and single-process buses. Frames are copied, so peers share nothing. */
export class MemoryTransport implements Transport {
  private endpoint = '';
  private events: TransportEvents | undefined;
  private maxBytes = 0;
  private readonly inbox: Buffer[] = [];
  private reading = false;
  private readonly peers = new Map<string, string>();
  private readonly counters = { framesSent: 0, framesReceived: 0, framesDropped: 0, framesRejected: 0 };
  readonly endOfStreamTimeoutMs: number;

  constructor(options: { endOfStreamTimeoutMs?: number; endpoint?: string } = {}) {
    this.endOfStreamTimeoutMs = options.endOfStreamTimeoutMs ?? 1000;
    this.endpoint = options.endpoint ?? '';
  }

  async start(local: { peerId: string; maxMessageBytes: number }, events: TransportEvents): Promise<string> {
    if (this.events !== undefined) throw new ZebusError('invalid-operation', 'the transport already serves a bus');
    if (this.endpoint === '') this.endpoint = `tcp://memory:${nextPort++}`;
    if (listening.has(this.endpoint)) throw new ZebusError('transport', `cannot bind ${this.endpoint}: already in use`);
    listening.set(this.endpoint, this);
    this.events = events;
    this.maxBytes = local.maxMessageBytes;
    return this.endpoint;
  }

  send(to: Destination, frame: Buffer, quiet = false): Promise<void> | undefined {
    this.peers.set(to.id, to.endpoint);
    const target = listening.get(to.endpoint);
    if (target === undefined) {
      this.counters.framesDropped++;
      const error = new ZebusError('transport', `peer ${to.id} [${to.endpoint}] is not listening`, { peer: to.id });
      if (!quiet) return Promise.reject(error);
      this.events?.dropped(error);
      return undefined;
    }
    this.counters.framesSent++;
    target.deliver(Buffer.from(frame));
    return undefined;
  }

  private deliver(frame: Buffer): void {
    if (frame.length > this.maxBytes) {
      this.counters.framesRejected++;
      this.events?.error(
        new ZebusError('too-large', `dropped a message of ${frame.length} bytes, the limit is ${this.maxBytes}`),
      );
      return;
    }
    this.inbox.push(frame);
    if (this.reading) return;
    this.reading = true;
    queueMicrotask(() => void this.read());
  }

  private async read(): Promise<void> {
    for (let frame = this.inbox.shift(); frame !== undefined; frame = this.inbox.shift()) {
      this.counters.framesReceived++;
      const hold = this.events?.frame(frame);
      if (hold !== undefined) await hold;
    }
    this.reading = false;
  }

  connected(): string[] {
    return [...this.peers.entries()].filter(([, endpoint]) => listening.has(endpoint)).map(([id]) => id);
  }

  disconnect(id: string): void {
    this.peers.delete(id);
  }

  stats(): TransportStats {
    return { connections: this.peers.size, closedPeers: 0, ...this.counters };
  }

  async stop(): Promise<void> {
    if (listening.get(this.endpoint) === this) listening.delete(this.endpoint);
    if (this.endpoint.startsWith('tcp://memory:')) this.endpoint = '';
    this.events = undefined;
    this.inbox.length = 0;
    this.peers.clear();
  }
}
