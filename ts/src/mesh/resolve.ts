/** Host names in addresses. */
import { MeshringError } from '../errors.js';
import { platform } from '../platform/node.js';
import { checkAddress, isSocketAddress } from './check.js';

const NAME = /^((?:[a-zA-Z0-9_-]{1,63}\.)*[a-zA-Z0-9_-]*[a-zA-Z][a-zA-Z0-9_-]*\.?):(\d{1,5})$/;

function hostOf(text: string): { name: string; port: string } | undefined {
  const [, name, port = ''] = NAME.exec(text) ?? [];
  return name === undefined || !platform.resolveHost || Number(port) > 65_535 ? undefined : { name, port };
}

/** Throws `<what>: invalid socket address syntax` for what is neither `ip:port` nor, where names can be looked up, `name:port`. */
export function checkTargetAddress(what: string, text: string): void {
  if (typeof text !== 'string' || isSocketAddress(text) || !hostOf(text)) checkAddress(what, text);
}

/**
 * `ip:port` as it is, at once; `name:port` looked up, in the family of the socket that is bound at `bound`. A name that can't
 * be found rejects like wrong syntax, and `cause` tells why.
 */
export function resolveAddress(what: string, text: string, bound: string): string | Promise<string> {
  const host = isSocketAddress(text) ? undefined : hostOf(text);
  if (!host || !platform.resolveHost) return checkAddress(what, text);
  return platform.resolveHost(host.name, bound.startsWith('[') ? 6 : 4).then(
    (ip) => (ip.includes(':') ? `[${ip}]:${host.port}` : `${ip}:${host.port}`),
    (cause: unknown) => {
      throw new MeshringError('invalid-config', `${what}: invalid socket address syntax`, { cause });
    },
  );
}
