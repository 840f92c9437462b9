import type { RawBus } from '../../backend/bus.js';
import { type Batch, type InboundLog, type ShardPage, type Transport, TransportError } from '../transport.js';
import { MESH_EVENT_BYTES } from './limits.js';

/** What another thread's mesh transport has received. The owner's thread sends and receives. */
export class AttachedInbound implements Transport {
  readonly name = 'attached';
  readonly maxEventBytes = MESH_EVENT_BYTES;
  readonly inbound: InboundLog;

  constructor(raw: RawBus) {
    this.inbound = { raw, onAppend: (callback) => raw.onWake?.(callback) };
  }

  async init(): Promise<void> {}

  async onBatch(_batch: Batch): Promise<void> {
    throw new TransportError('fatal', 'an attached node does not send itself');
  }

  async flush(): Promise<void> {}

  async shutdown(): Promise<void> {
    const { raw } = this.inbound;
    raw.close();
    raw.release?.();
    raw.free?.();
  }

  async pollShard(): Promise<ShardPage> {
    throw new TransportError('fatal', 'inbound events are in the log');
  }

  checkId(): string | undefined {
    return undefined;
  }

  healthy(): boolean {
    return true;
  }
}
