/** UDP sockets of Node. */
import { createSocket } from 'node:dgram';
import type { UdpSocket } from './types.js';

const BUFFER = 4 << 20;

function parse(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon);
  return { host: host.startsWith('[') ? host.slice(1, -1) : host, port: Number(address.slice(colon + 1)) };
}

function format(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Binds a socket; a port in use is an error. */
export function openUdp(address: string): Promise<UdpSocket> {
  const { host, port } = parse(address);
  const six = host.includes(':');
  const socket = createSocket({
    type: six ? 'udp6' : 'udp4',
    // Addresses are numeric: nothing is ever looked up.
    lookup: (name, _options, done) => done(null, name, six ? 6 : 4),
  });
  // Destinations as the engine names them, taken apart once.
  const known = new Map<string, { host: string; port: number }>();
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind({ address: host, port, exclusive: true }, () => {
      socket.off('error', reject);
      // ICMP answers of unreachable neighbours are no reason to stop.
      socket.on('error', () => {});
      socket.unref();
      try {
        socket.setRecvBufferSize(BUFFER);
        socket.setSendBufferSize(BUFFER);
      } catch {
        // The system's own sizes serve.
      }
      const bound = socket.address();
      resolve({
        address: format(bound.address, bound.port),
        send(to, bytes) {
          let target = known.get(to);
          if (!target) {
            if (known.size > 4096) known.clear();
            target = parse(to);
            known.set(to, target);
          }
          socket.send(bytes, target.port, target.host, () => {});
        },
        onDatagram(callback) {
          socket.on('message', (bytes, from) => callback(format(from.address, from.port), bytes));
        },
        close: () => new Promise((done) => socket.close(() => done())),
      });
    });
  });
}
