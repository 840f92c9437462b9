/** Real servers for the tests: own processes on free ports, which a test may kill, and a proxy that spoils connections. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

function program(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

const redis = program('redis-server');
const nats = program('nats-server');

/** Why tests against a server are skipped; undefined when it is installed. */
export const noRedis = redis ? undefined : 'redis-server is not installed (apt-get install redis-server)';
export const noNats = nats ? undefined : 'nats-server is not installed (apt-get install nats-server)';
/** Number of rounds of a fault test: all of them in the soak run, a few in the ordinary one. */
export const rounds = (full: number, short = 3): number => (process.env.MESHRING_SOAK ? full : short);

/** A port that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Waits until `condition` gives something; fails with `what` after `ms`. */
export async function until<T>(
  what: string,
  condition: () => Promise<T | undefined | false> | T | undefined | false,
  ms = 20_000,
): Promise<T> {
  const end = Date.now() + ms;
  for (;;) {
    const found = await condition();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > end) throw new Error(`waited ${ms} ms for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const processes = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of processes) child.kill('SIGKILL');
});

/** A server process with its data in a folder of its own. */
export class TestServer {
  readonly port: number;
  readonly #command: string;
  readonly #args: string[];
  readonly #folder: string;
  readonly #greeting: (socket: Socket) => Promise<boolean>;
  #child: ChildProcess | undefined;

  constructor(
    command: string,
    args: string[],
    folder: string,
    port: number,
    greeting: (s: Socket) => Promise<boolean>,
  ) {
    this.#command = command;
    this.#args = args;
    this.#folder = folder;
    this.port = port;
    this.#greeting = greeting;
  }

  /** Starts the process and waits until it answers. */
  async start(): Promise<this> {
    const child = spawn(this.#command, this.#args, { stdio: 'ignore', cwd: this.#folder });
    this.#child = child;
    processes.add(child);
    child.once('exit', () => processes.delete(child));
    await until(`${this.#command} on port ${this.port}`, () => this.#answers());
    return this;
  }

  /** Sends a signal and waits until it has worked. */
  async signal(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (!child) return;
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill(signal);
    if (signal === 'SIGKILL' || signal === 'SIGTERM') {
      await gone;
      this.#child = undefined;
    } else if (signal === 'SIGSTOP') {
      await until('the process to stop', () =>
        execFileSync('ps', ['-o', 'stat=', '-p', String(child.pid)]).includes('T'),
      );
    }
  }

  /** Kills the process and removes its data. */
  async stop(): Promise<void> {
    await this.signal('SIGKILL');
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #answers(): Promise<boolean> {
    const socket = connect(this.port, '127.0.0.1');
    socket.on('error', () => undefined);
    try {
      return await Promise.race([
        this.#greeting(socket),
        new Promise<boolean>((resolve) => socket.once('close', () => resolve(false))),
      ]);
    } finally {
      socket.destroy();
    }
  }
}

function nextData(socket: Socket): Promise<string> {
  return new Promise((resolve) => socket.once('data', (chunk) => resolve(String(chunk))));
}

/** redis-server; `appendonly` so that it survives a kill with what it has confirmed. */
export async function startRedis(extra: string[] = []): Promise<TestServer> {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), 'meshring-redis-'));
  const args = ['--port', String(port), '--dir', folder, '--save', '', '--bind', '127.0.0.1', ...extra];
  const server = new TestServer(redis ?? 'redis-server', args, folder, port, async (socket) => {
    socket.write('PING\r\n');
    return /^(\+PONG|-NOAUTH)/.test(await nextData(socket));
  });
  return server.start();
}

/**
 * Settings with which redis-server loses nothing that it has confirmed. With `everysec` it answers before it writes while
 * an earlier sync is slow: a kill then takes up to two seconds of confirmed events.
 */
export const durableRedis = ['--appendonly', 'yes', '--appendfsync', 'always'];

/** nats-server with JetStream in files. `tls`: it answers nothing but its greeting in clear text. */
export async function startNats(extra: string[] = [], tls = false): Promise<TestServer> {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), 'meshring-nats-'));
  const args = ['-a', '127.0.0.1', '-p', String(port), '-js', '-sd', folder, ...extra];
  const server = new TestServer(nats ?? 'nats-server', args, folder, port, async (socket) => {
    if (!(await nextData(socket)).startsWith('INFO')) return false;
    if (tls) return true;
    // JetStream recovers its streams before it answers.
    socket.write(
      'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\nSUB r 1\r\nPUB $JS.API.INFO r 0\r\n\r\n',
    );
    return /io\.nats\.jetstream|Authorization/.test(await nextData(socket));
  });
  return server.start();
}

/** Runs a command on a Redis server by its own client. */
export function redisCli(server: { port: number }, ...args: string[]): string {
  return execFileSync('redis-cli', ['-p', String(server.port), ...args], { encoding: 'utf8' }).trim();
}

/** What a proxy does with a connection. */
export interface ProxyBehaviour {
  /** Bytes from the client after which the connection is cut; undefined = never. */
  cutAfter?: () => number | undefined;
  /** Delay of a chunk, ms. */
  delayMs?: () => number;
  /** Sees what the client sends. */
  record?: (chunk: Buffer) => void;
}

/** Stands between client and server on a port of its own. */
export class FaultyProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Connections cut so far. */
  cuts = 0;
  readonly port: number;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  /** Listens; `target` is the server's port. */
  static async start(target: number, behaviour: ProxyBehaviour = {}): Promise<FaultyProxy> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const proxy = new FaultyProxy(server, (server.address() as { port: number }).port);
    server.on('connection', (client) => proxy.#join(client, connect(target, '127.0.0.1'), behaviour));
    return proxy;
  }

  /** Cuts all connections now. */
  cutAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    this.cutAll();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #join(client: Socket, server: Socket, { cutAfter, delayMs, record }: ProxyBehaviour): void {
    let left = cutAfter?.() ?? Number.POSITIVE_INFINITY;
    const close = () => {
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.on('error', close);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        close();
      });
    }
    const pass = (to: Socket) => {
      // Chunks keep their order whatever their delays are.
      let before = Promise.resolve();
      return (chunk: Buffer) => {
        const wait = delayMs?.() ?? 0;
        if (wait === 0 && !delayMs) {
          to.write(chunk);
          return;
        }
        before = before.then(async () => {
          if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
          if (to.writable) to.write(chunk);
        });
      };
    };
    const up = pass(server);
    client.on('data', (chunk: Buffer) => {
      record?.(chunk);
      if (chunk.length > left) {
        // The rest is truncated, in the middle of whatever it is.
        server.end(chunk.subarray(0, left));
        this.cuts += 1;
        client.destroy();
        return;
      }
      left -= chunk.length;
      up(chunk);
    });
    server.on('data', pass(client));
  }
}
