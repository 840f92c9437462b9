/** Connecting transports: nothing keeps running when it fails (11 §1). */
import { MeshringError, messageOf } from '../errors.js';
import { platform } from '../platform/node.js';
import type { NetNodeConfig } from '../types.js';
import type { ResolvedConfig } from './config.js';
import { within } from './dispatch.js';
import { type Transport, TransportError } from './transport.js';

/** Opens a second connection to the store of a node. */
export async function openStore(config: NetNodeConfig, shards: number, timeoutMs: number): Promise<Transport> {
  const transport = await platform.openTransport(config.transport ?? { type: 'memory' }, config);
  if (!transport) throw new MeshringError('invalid-config', 'attach: this node has no store');
  await startTransport(transport, { shards, adapterTimeoutMs: timeoutMs });
  return transport;
}

/** Connects a transport within its time limit. */
export async function startTransport(
  transport: Transport,
  config: Pick<ResolvedConfig, 'shards' | 'adapterTimeoutMs'>,
): Promise<void> {
  const context = {
    shards: config.shards,
    timeoutMs: config.adapterTimeoutMs,
    warn: (warning: string) => platform.warnOnce(warning),
  };
  try {
    await within(
      transport.init(context),
      config.adapterTimeoutMs,
      () => new TransportError('fatal', 'adapter init timed out'),
    );
  } catch (error) {
    // Nothing keeps running after a failed create; the reason is the first failure.
    await transport.shutdown().catch(() => undefined);
    if (error instanceof MeshringError) throw error;
    throw new MeshringError('create-failed', `Failed to create EventBus: ${messageOf(error)}`, { cause: error });
  }
}
