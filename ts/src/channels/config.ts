/** Configurations of channels, by name and by prefix (32 §2, §3). */
import { type CapabilityFilter, requirementsOf } from '../capabilities/index.js';
import { canonicalChannelHash, channelNameProblem } from '../channel-name/index.js';
import { MeshringError, textOf } from '../errors.js';
import type { TokenIssuers } from '../identity/index.js';
import { packSubnet, type SubnetId, VISIBILITIES, type Visibility } from '../subnets/index.js';

/** Most registered channels of a node. */
export const MAX_REGISTERED_CHANNELS = 65_536;

/** How a channel behaves and who may use it. */
export interface ChannelConfig {
  name: string;
  /** Default `global`. */
  visibility?: Visibility;
  /** Default false. */
  reliable?: boolean;
  /** Whether subscribers need a token; default false. */
  requireToken?: boolean;
  /** 0..255, default 0. */
  priority?: number;
  /** Packets per second; default no limit. */
  maxRatePps?: number;
  /** What a publisher must offer. */
  publishCaps?: CapabilityFilter;
  /** What a subscriber must offer. */
  subscribeCaps?: CapabilityFilter;
  /** Whose tokens count; default `owner` (an addition of ours, see `TokenIssuers`). */
  tokenIssuers?: TokenIssuers;
  /** Subnets that see an `exported` channel, with everything below them (an addition of ours). */
  exportTo?: SubnetId[];
}

function fail(kind: string, text: string): MeshringError {
  return new MeshringError(kind, `channel: ${text}`);
}

/** Whether it says whose tokens count: a wrong value would show when somebody subscribes. */
function areIssuers(value: unknown): boolean {
  if (value === 'owner' || value === 'any') return true;
  return Array.isArray(value) && value.every((id) => id instanceof Uint8Array && id.length === 32);
}

/** Checks a configuration; throws with the texts of the channel methods. */
export function checkChannelConfig(config: ChannelConfig): void {
  const problem = channelNameProblem(config.name);
  if (problem !== undefined) throw fail('invalid-name', `invalid name: ${problem}`);
  const { visibility, priority, maxRatePps } = config;
  if (visibility !== undefined && !VISIBILITIES.includes(visibility)) {
    throw fail('invalid-config', `invalid visibility "${textOf(visibility)}" (expected ${VISIBILITIES.join(' | ')})`);
  }
  if (priority !== undefined && (!Number.isInteger(priority) || priority < 0 || priority > 255)) {
    throw fail('invalid-config', `priority must be an integer in [0, 255], got ${textOf(priority)}`);
  }
  if (maxRatePps !== undefined && (!Number.isInteger(maxRatePps) || maxRatePps < 1 || maxRatePps > 0xffff_ffff)) {
    throw fail('invalid-config', `maxRatePps must be an integer in [1, 4294967295], got ${textOf(maxRatePps)}`);
  }
  if (!areIssuers(config.tokenIssuers ?? 'owner')) {
    throw fail('invalid-config', 'invalid tokenIssuers (expected owner | any | a list of entity ids of 32 bytes)');
  }
  if (config.exportTo !== undefined && !Array.isArray(config.exportTo)) {
    throw fail('invalid-config', 'exportTo must be an array of subnets');
  }
  for (const target of config.exportTo ?? []) packSubnet(target);
  for (const filter of [config.publishCaps, config.subscribeCaps]) if (filter !== undefined) requirementsOf(filter);
}

/** Index of the first name greater than `after`. */
function firstBehind(names: readonly string[], after: string): number {
  let low = 0;
  let high = names.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((names[middle] as string) > after) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Registered channels. Decisions are made by name; a hash only leads to the name. */
export class ChannelRegistry<T extends ChannelConfig = ChannelConfig> {
  readonly #byName = new Map<string, T>();
  readonly #byHash = new Map<bigint, Set<string>>();
  readonly #byPrefix = new Map<string, T>();
  #names: readonly string[] | undefined;

  /** Number of channels registered by name. */
  get size(): number {
    return this.#byName.size;
  }

  /** Adds or replaces the channel of this name. */
  register(config: T): void {
    checkChannelConfig(config);
    if (!this.#byName.has(config.name) && this.#byName.size >= MAX_REGISTERED_CHANNELS) {
      throw fail('limit', `${MAX_REGISTERED_CHANNELS} channels are registered already`);
    }
    if (!this.#byName.has(config.name)) this.#names = undefined;
    this.#byName.set(config.name, { ...config });
    const hash = canonicalChannelHash(config.name);
    const names = this.#byHash.get(hash);
    if (names) names.add(config.name);
    else this.#byHash.set(hash, new Set([config.name]));
  }

  /** Removes a channel; `false` when there is none. */
  unregister(name: string): boolean {
    if (!this.#byName.delete(name)) return false;
    this.#names = undefined;
    const hash = canonicalChannelHash(name);
    const names = this.#byHash.get(hash);
    names?.delete(name);
    if (names?.size === 0) this.#byHash.delete(hash);
    return true;
  }

  /** Adds or replaces the configuration of all names that start with a text. */
  registerPrefix(prefix: string, config: T): void {
    this.#byPrefix.set(prefix, { ...config });
  }

  /** Removes the configuration of a prefix. */
  unregisterPrefix(prefix: string): boolean {
    return this.#byPrefix.delete(prefix);
  }

  /** The configuration of a name: its own, else that of the longest prefix. */
  get(name: string): T | undefined {
    const exact = this.#byName.get(name);
    if (exact) return exact;
    let found: T | undefined;
    let longest = -1;
    for (const [prefix, config] of this.#byPrefix) {
      if (prefix.length > longest && name.startsWith(prefix)) {
        found = config;
        longest = prefix.length;
      }
    }
    return found;
  }

  /** The channel of a canonical hash; `undefined` when none or several names have it. */
  byHash(hash: bigint): T | undefined {
    const names = this.#byHash.get(hash);
    const [name] = names ?? [];
    return names?.size === 1 && name !== undefined ? this.#byName.get(name) : undefined;
  }

  /**
   * Registered channels below a prefix of whole segments, in order of their names, behind a given one: `a` matches `a` and
   * `a/b`, not `ab`; `''` matches all.
   */
  *below(prefix: string, after = ''): Generator<T, void, void> {
    const names = this.#sorted();
    const own = prefix === '' ? undefined : this.#byName.get(prefix);
    if (own && prefix > after) yield own;
    const first = prefix === '' ? '' : `${prefix}/`;
    for (let at = firstBehind(names, after < first ? first : after); at < names.length; at++) {
      const name = names[at] as string;
      if (!name.startsWith(first)) break;
      const config = this.#byName.get(name);
      if (config) yield config;
    }
  }

  /** Names in order; sorted when they are asked for after a change. */
  #sorted(): readonly string[] {
    this.#names ??= [...this.#byName.keys()].sort();
    return this.#names;
  }

  /** All registered channels. */
  values(): T[] {
    return [...this.#byName.values()];
  }
}
