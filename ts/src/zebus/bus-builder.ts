import { ZebusError } from '../errors.js';
import { ZebusBus } from './bus.js';
import type { Bus } from './bus-api.js';
import { type BusConfiguration, busSettings, type ConfigurationProvider } from './configuration.js';
import type { HandlerSet, Registration } from './dispatch/message-handler.js';
import { parseEndpoint } from './endpoint.js';
import { PeerId } from './peer.js';
import type { Transport } from './transport.js';

/**
 * Puts a bus together.
 *
 * @example
 * const bus = new BusBuilder()
 *   .configureDefault('Echo.0', 'example', ['tcp://localhost:7465'])
 *   .handles(MessageHandler.stateless().handles(EchoCommand, ({ msg }) => console.log(`ECHO ${msg}`)))
 *   .withTransport(new ZmqTransport())
 *   .create();
 */
export class BusBuilder {
  private peerId: PeerId | undefined;
  private environment = '';
  private configuration: Partial<BusConfiguration> = {};
  private transport: Transport | undefined;
  private readonly handlers: Registration[] = [];

  /** Who this peer is, where it lives, and how. */
  configure(peerId: string | PeerId, environment: string, configuration: Partial<BusConfiguration>): this {
    this.peerId = typeof peerId === 'string' ? new PeerId(peerId) : peerId;
    this.environment = environment;
    this.configuration = configuration;
    return this;
  }

  /** The same with the configuration of a provider. Throws what the provider throws. */
  configureWith(peerId: string | PeerId, environment: string, provider: ConfigurationProvider<BusConfiguration>): this {
    return this.configure(peerId, environment, provider.configure());
  }

  /** The default configuration with these directories, tried in order. */
  configureDefault(peerId: string | PeerId, environment: string, directoryEndpoints: string[]): this {
    return this.configure(peerId, environment, { directoryEndpoints, pickRandomDirectory: false });
  }

  /** Adds handlers. */
  handles(...handlers: readonly HandlerSet[]): this {
    for (const handler of handlers) this.handlers.push(...handler.registrations);
    return this;
  }

  /** The same as `handles`. */
  withHandler(handler: HandlerSet): this {
    return this.handles(handler);
  }

  withTransport(transport: Transport): this {
    this.transport = transport;
    return this;
  }

  /** The bus, not yet started. Throws `ZebusError` `configuration` or `duplicate-type`. */
  create(): Bus {
    if (this.peerId === undefined) throw new ZebusError('configuration', 'BusBuilder: call configure first');
    if (this.transport === undefined) throw new ZebusError('configuration', 'BusBuilder: call withTransport first');
    if (this.peerId.value === '') throw new ZebusError('configuration', 'the peer id is empty');
    const settings = busSettings(this.configuration);
    for (const endpoint of settings.directoryEndpoints) if (endpoint.startsWith('tcp:')) parseEndpoint(endpoint);
    return new ZebusBus({
      peerId: this.peerId,
      environment: this.environment,
      settings,
      transport: this.transport,
      handlers: this.handlers,
    });
  }
}
