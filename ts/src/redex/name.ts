import { MeshringError } from '../errors.js';

const LONGEST = 255;
const STORAGE_NAME = /^(manifest|manifest\.tmp|idx|dat|ts|v\d{10})$/;

/** Why a channel name is not valid, or null (50 §2.1). */
export function channelNameFault(name: string): string | null {
  if (name === '') return 'channel name is empty';
  const length = new TextEncoder().encode(name).length;
  if (length > LONGEST) return `channel name too long (${length} > ${LONGEST})`;
  const format = 'invalid channel name format:';
  if (name.startsWith('/') || name.endsWith('/')) return `${format} must not start or end with '/'`;
  if (name.includes('//')) return `${format} must not contain '//'`;
  for (const character of name) {
    if (/[A-Z]/.test(character)) {
      return `${format} uppercase character '${character}' not allowed — channel names are lowercase only`;
    }
    if (!/[a-z0-9\-_./]/.test(character)) return `invalid character '${character}' in channel name`;
  }
  const reserved = name.split('/').find((segment) => segment === '.' || segment === '..');
  return reserved === undefined ? null : `${format} segment "${reserved}" is reserved`;
}

/** Throws `redex: invalid channel name: …`. */
export function checkChannelName(name: string): void {
  const fault = channelNameFault(name);
  if (fault) throw new MeshringError('invalid-name', `redex: invalid channel name: ${fault}`);
}

/** Throws when a persistent channel's folder would look like a part of its parent's files (50 §9.1). */
export function checkStorageName(name: string): void {
  const clash = name
    .split('/')
    .slice(1)
    .find((segment) => STORAGE_NAME.test(segment));
  if (clash !== undefined) {
    throw new MeshringError('channel', `redex: open_file: channel error: segment "${clash}" is reserved for storage`);
  }
}
