import {
  type Bus,
  BusBuilder,
  type BusConfiguration,
  DirectoryServer,
  type DirectoryServerConfiguration,
  type HandlerSet,
  type Transport,
  type ZmqSocketOptions,
  ZmqTransport,
} from '../../../src/zebus.js';

/** Waits until a condition holds; fails with its text after 15 s. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + 15_000;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`timed out waiting until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Transport on this machine only, with short waits. */
export function local(options: ZmqSocketOptions = {}, inboundEndpoint = 'tcp://127.0.0.1:*'): ZmqTransport {
  return new ZmqTransport({ inboundEndpoint, waitForEndOfStreamAckTimeout: 500 }, options);
}

/** Things to stop when a test ends, last first. */
export class Cleanup {
  private readonly steps: (() => Promise<unknown> | unknown)[] = [];

  add(step: () => Promise<unknown> | unknown): void {
    this.steps.push(step);
  }

  readonly run = async (): Promise<void> => {
    for (const step of this.steps.splice(0).reverse()) await step();
  };

  /** A started directory. */
  async directory(configuration: Partial<DirectoryServerConfiguration> = {}): Promise<DirectoryServer> {
    const server = new DirectoryServer({
      endpoint: 'tcp://127.0.0.1:*',
      environment: 'test',
      pingInterval: 0,
      ...configuration,
    });
    await server.start();
    this.add(() => server.stop());
    return server;
  }

  /** A bus that is not started. */
  bus(
    peerId: string,
    directory: { readonly endpoint: string } | string,
    handlers: readonly HandlerSet[] = [],
    configuration: Partial<BusConfiguration> = {},
    transport: Transport = local(),
  ): Bus {
    const endpoint = typeof directory === 'string' ? directory : directory.endpoint;
    const bus = new BusBuilder()
      .configure(peerId, 'test', {
        directoryEndpoints: [endpoint],
        registrationTimeout: 5000,
        stopTimeoutMs: 2000,
        ...configuration,
      })
      .handles(...handlers)
      .withTransport(transport)
      .create();
    this.add(() => bus.stop());
    return bus;
  }

  /** A started bus. */
  async peer(...args: Parameters<Cleanup['bus']>): Promise<Bus> {
    const bus = this.bus(...args);
    await bus.start();
    return bus;
  }
}
