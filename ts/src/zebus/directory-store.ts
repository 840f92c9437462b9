import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ZebusError } from '../errors.js';
import type { Ticks } from './datetime.js';
import type { KeysOfType } from './descriptor.js';
import { type BindingKey, keyText, type PeerDescriptor, type PeerSubscription, peerDescriptor } from './peer.js';

/** A peer in the directory's store. */
export interface StoredPeer {
  id: string;
  endpoint: string;
  isUp: boolean;
  isResponding: boolean;
  isPersistent: boolean;
  hasDebuggerAttached: boolean;
  timestamp: Ticks;
  /** Subscriptions of the registration. */
  startup: readonly PeerSubscription[];
  /** Keys set afterwards, by type, with their time. */
  dynamic: Map<string, { keys: readonly BindingKey[]; timestamp: Ticks }>;
}

/** The descriptor that others are told: dynamic subscriptions merged with those of the registration. */
export function storedDescriptor(peer: StoredPeer): PeerDescriptor {
  const seen = new Set<string>();
  const subscriptions: PeerSubscription[] = [];
  const add = (messageType: string, key: BindingKey): void => {
    const text = `${messageType}\n${keyText(key)}`;
    if (seen.has(text)) return;
    seen.add(text);
    subscriptions.push({ messageType, key });
  };
  for (const { messageType, key } of peer.startup) add(messageType, key);
  for (const [messageType, { keys }] of peer.dynamic) for (const key of keys) add(messageType, key);
  return peerDescriptor(peer, {
    subscriptions,
    isPersistent: peer.isPersistent,
    timestampTicks: peer.timestamp,
    hasDebuggerAttached: peer.hasDebuggerAttached,
  });
}

/** Sets or removes the dynamic keys of types; older updates than the known ones are ignored. */
export function setDynamic(peer: StoredPeer, types: readonly KeysOfType[], timestamp: Ticks): void {
  for (const { messageType, keys } of types) {
    const known = peer.dynamic.get(messageType);
    if (known !== undefined && known.timestamp > timestamp) continue;
    if (keys.length === 0) peer.dynamic.delete(messageType);
    else peer.dynamic.set(messageType, { keys, timestamp });
  }
}

/** Peers in memory, and, with a path, in a JSON file that is replaced as a whole on every change. */
export class DirectoryStore {
  private readonly peers = new Map<string, StoredPeer>();
  private readonly path: string | undefined;
  private readonly onError: (error: ZebusError) => void;
  private writing: Promise<void> | undefined;
  private dirty = false;

  constructor(path: string | undefined, onError: (error: ZebusError) => void) {
    this.path = path;
    this.onError = onError;
  }

  /** Reads the file. Only persistent peers outlive a restart of the directory; they are down until they come back. */
  async load(): Promise<void> {
    if (this.path === undefined) return;
    let text: string;
    try {
      text = await readFile(this.path, 'utf8');
    } catch (error) {
      if ((error as { code?: string }).code === 'ENOENT') return;
      throw new ZebusError('configuration', `cannot read ${this.path}: ${(error as Error).message}`, { cause: error });
    }
    try {
      for (const peer of (JSON.parse(text) as { peers: StoredJson[] }).peers) {
        if (peer.isPersistent) this.peers.set(peer.id, fromJson(peer));
      }
    } catch (cause) {
      throw new ZebusError('configuration', `${this.path} is not a directory store: ${(cause as Error).message}`, {
        cause,
      });
    }
  }

  get(id: string): StoredPeer | undefined {
    return this.peers.get(id);
  }

  all(): StoredPeer[] {
    return [...this.peers.values()];
  }

  put(peer: StoredPeer): void {
    this.peers.set(peer.id, peer);
    this.changed();
  }

  delete(id: string): void {
    this.peers.delete(id);
    this.changed();
  }

  /** To be called after a stored peer was modified. */
  changed(): void {
    if (this.path === undefined) return;
    this.dirty = true;
    this.writing ??= this.write(this.path).finally(() => {
      this.writing = undefined;
    });
  }

  private async write(path: string): Promise<void> {
    while (this.dirty) {
      // Changes of one turn go to the file together.
      await new Promise((resolve) => setImmediate(resolve));
      this.dirty = false;
      try {
        await mkdir(dirname(path), { recursive: true });
        const temporary = `${path}.${process.pid}.tmp`;
        await writeFile(temporary, `${JSON.stringify({ peers: this.all().map(toJson) }, null, 2)}\n`);
        await rename(temporary, path);
      } catch (cause) {
        this.onError(new ZebusError('configuration', `cannot write ${path}: ${(cause as Error).message}`, { cause }));
      }
    }
  }

  /** Resolves when everything is in the file. */
  async settled(): Promise<void> {
    await this.writing;
  }
}

type StoredJson = Omit<StoredPeer, 'timestamp' | 'dynamic'> & {
  timestamp: string;
  dynamic: { type: string; keys: readonly BindingKey[]; timestamp: string }[];
};

function toJson(peer: StoredPeer): StoredJson {
  return {
    ...peer,
    timestamp: peer.timestamp.toString(),
    dynamic: [...peer.dynamic].map(([type, entry]) => ({
      type,
      keys: entry.keys,
      timestamp: entry.timestamp.toString(),
    })),
  };
}

function fromJson(json: StoredJson): StoredPeer {
  return {
    ...json,
    isUp: false,
    isResponding: false,
    timestamp: BigInt(json.timestamp),
    dynamic: new Map(
      json.dynamic.map(({ type, keys, timestamp }) => [type, { keys, timestamp: BigInt(timestamp) }] as const),
    ),
  };
}
