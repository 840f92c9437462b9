/** Checks of the mesh transport's options, in the order and with the texts of 11 §8. */
import { MeshringError } from '../errors.js';
import type { MeshOptions } from '../types.js';

function invalid(text: string): MeshringError {
  return new MeshringError('invalid-config', text);
}

/** `ip:port`, IPv6 in brackets. */
export function isSocketAddress(text: unknown): text is string {
  if (typeof text !== 'string') return false;
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|(\d{1,3}(?:\.\d{1,3}){3})):(\d{1,5})$/.exec(text);
  if (!match || Number(match[3]) > 65_535) return false;
  if (match[2]) return match[2].split('.').every((part) => Number(part) <= 255 && String(Number(part)) === part);
  return URL.canParse(`http://[${match[1]}]/`);
}

/** A 32-byte key in hex. */
function checkKey(name: string, text: unknown): void {
  const value = typeof text === 'string' ? text : '';
  if (value.length % 2 === 1) throw invalid(`Invalid ${name} hex: Odd number of digits`);
  const bad = /[^0-9a-fA-F]/.exec(value);
  if (bad) throw invalid(`Invalid ${name} hex: Invalid character at position ${bad.index}`);
  if (value.length !== 64) throw invalid(`${name} must be exactly 32 bytes`);
}

/** Throws the first violation. No key appears in a message. */
export function checkMeshOptions(options: MeshOptions): void {
  if (!isSocketAddress(options.bind)) throw invalid('Invalid bind_addr: invalid socket address syntax');
  if (!isSocketAddress(options.peer)) throw invalid('Invalid peer_addr: invalid socket address syntax');
  checkKey('psk', options.psk);
  const role = options.role ?? 'initiator';
  if (role !== 'initiator' && role !== 'responder') {
    throw invalid(`Invalid role: ${String(role)}. Use 'initiator' or 'responder'`);
  }
  if (role === 'initiator') {
    if (options.peerPublicKey === undefined) throw invalid('peer_public_key is required for initiator');
    checkKey('peer_public_key', options.peerPublicKey);
  } else {
    if (options.secretKey === undefined) throw invalid('secret_key is required for responder');
    checkKey('secret_key', options.secretKey);
    if (options.publicKey === undefined) throw invalid('public_key is required for responder');
    checkKey('public_key', options.publicKey);
  }
  const { reliability = 'none', heartbeatIntervalMs = 5000, sessionTimeoutMs = 30_000, packetPoolSize = 64 } = options;
  if (!['none', 'light', 'full'].includes(reliability)) {
    throw invalid(`Invalid reliability: ${String(reliability)}. Use 'none', 'light' or 'full'`);
  }
  const config = 'Failed to create EventBus: fatal error: invalid config:';
  if (!(heartbeatIntervalMs > 0)) throw invalid(`${config} heartbeat_interval must be > 0`);
  if (heartbeatIntervalMs < 10) throw invalid(`${config} heartbeat_interval is below the 10ms minimum`);
  if (!(sessionTimeoutMs > heartbeatIntervalMs)) {
    throw invalid(`${config} session_timeout must be > heartbeat_interval`);
  }
  if (!(packetPoolSize >= 1 && packetPoolSize <= 16_384)) {
    throw invalid(`${config} packet_pool_size must be between 1 and 16384`);
  }
}
