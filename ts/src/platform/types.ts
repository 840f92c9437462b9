import type { Door } from '../backend/door.js';
import type { ProducerState } from '../bus/producer-state.js';
import type { Transport } from '../bus/transport.js';
import type { LogStorage } from '../redex/storage.js';
import type { NetNodeConfig, Transport as TransportOptions } from '../types.js';

/** What differs between Node and browsers. One object, chosen when the package is built or bundled. */
export interface Platform {
  /** Where this code runs. */
  readonly name: 'node' | 'browser';
  /** Value of `MESHRING_BACKEND`, if the platform has an environment. */
  readonly forcedBackend: string | undefined;
  /** Loads the native addon; throws with the reason when it cannot be had. */
  loadAddon(): Door;
  /** Loads the WebAssembly build; throws with the reason when it cannot be had. */
  loadWasm(): Door;
  /** Bytes in the form that users expect: `Buffer` in Node, `Uint8Array` in browsers. The memory is shared. */
  bytes(view: Uint8Array): Uint8Array;
  /** Processor architecture in Node's words (`x64`, `arm64`); empty where it cannot be known. */
  readonly arch: string;
  /** Keeps the process alive until the returned function is called (once). */
  keepAlive(): () => void;
  /**
   * Makes the transport of a node, without connecting; undefined = the log in memory.
   * Throws where its options are wrong or the platform cannot have it.
   */
  openTransport(options: TransportOptions, config: NetNodeConfig): Promise<Transport | undefined>;
  /** What the producer of a node keeps over restarts; a random nonce without `producerNoncePath`. */
  openProducer(config: NetNodeConfig, stored: boolean): Promise<ProducerState>;
  /** Number of CPUs that this process may use, at least 1. */
  cpuCount(): number;
  /** Prints a warning once per process and text. */
  warnOnce(text: string): void;
  /** Where persistent logs below `directory` live, or null when there is no file system. */
  logStorage(directory: string): LogStorage | null;
  /** The address of a host of one family, without brackets; absent where names can't be looked up. Rejects when there is none. */
  resolveHost?(name: string, family: 4 | 6): Promise<string>;
  /** Binds a UDP socket at `ip:port`; absent where there is none. */
  openUdp?(address: string): Promise<UdpSocket>;
}

/** A UDP socket that does not keep the process alive. Addresses are `ip:port` or `[v6]:port`. */
export interface UdpSocket {
  /** What was bound. */
  readonly address: string;
  /** Copies the bytes and sends them. */
  send(to: string, bytes: Uint8Array): void;
  /** Called for each datagram; the bytes are the callback's own. */
  onDatagram(callback: (from: string, bytes: Uint8Array) => void): void;
  /** Resolves when the address is free again. */
  close(): Promise<void>;
}
