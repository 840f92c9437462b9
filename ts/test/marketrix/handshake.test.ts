import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  createServer,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { Redis } from 'ioredis';
import { describe, expect, it, onTestFinished } from 'vitest';
import { encodeFrame, FrameDecoder, layouts, type MeshPeer } from '../../src/marketrix.js';
import { all, freePort, joined, prefix, REDIS, selfSigned, until } from './rig.js';

const TYPE = 'application/vnd.mesh+json-frames';

function dial(peer: MeshPeer): ClientHttp2Session {
  const session = connect(`http://127.0.0.1:${peer.port}`);
  session.on('error', () => {});
  onTestFinished(() => session.destroy());
  return session;
}

interface Answer {
  headers: IncomingHttpHeaders;
  body: Buffer;
  rstCode: number;
}

/** The whole answer to a request; the request is ended when the headers of the answer are there. */
function answer(stream: ClientHttp2Stream, write?: (stream: ClientHttp2Stream) => void): Promise<Answer> {
  return new Promise((resolve) => {
    let headers: IncomingHttpHeaders = {};
    const parts: Buffer[] = [];
    stream.on('response', (h) => {
      headers = h;
      if (write) write(stream);
      else stream.end();
    });
    stream.on('data', (part: Buffer) => parts.push(part));
    stream.on('error', () => {});
    stream.on('close', () => resolve({ headers, body: Buffer.concat(parts), rstCode: stream.rstCode ?? 0 }));
  });
}

function decoded(body: Buffer): unknown[] {
  const messages: unknown[] = [];
  new FrameDecoder().push(body, (message) => messages.push(message));
  return messages;
}

const GOOD = { ':method': 'POST', ':path': '/mesh/v1', 'content-type': TYPE, 'x-mesh-version': '1' };

describe('handshake', () => {
  const refusals: [number, string, OutgoingHttpHeaders][] = [
    [404, 'not-found', { ...GOOD, ':path': '/other' }],
    [404, 'not-found', { ...GOOD, ':method': 'GET' }],
    [404, 'wrong-target', { ...GOOD, 'x-mesh-target': 'somebody-else', authorization: 'Bearer secret' }],
    [401, 'unauthorized', GOOD],
    [401, 'unauthorized', { ...GOOD, authorization: 'Bearer secreT' }],
    [426, 'version', { ...GOOD, 'x-mesh-version': '2', authorization: 'Bearer secret' }],
    [415, 'content-type', { ...GOOD, 'content-type': 'application/grpc', authorization: 'Bearer secret' }],
  ];
  it.each(refusals)('%i %s', async (status, code, headers) => {
    const peer = await joined({ service: 'server', keyPrefix: prefix(), token: 'secret' });
    const got = await answer(dial(peer).request(headers));
    expect(got.headers[':status']).toBe(status);
    expect(JSON.parse(got.body.toString())).toMatchObject({ error: { code } });
    if (status === 426) expect(got.headers['x-mesh-version']).toBe('1');
  });

  it('answers before the other side has sent anything, and says who it is', async () => {
    const peer = await joined({ service: 'server', keyPrefix: prefix(), maxFrameBytes: 4096 });
    peer.onConnection((stream) => stream.end());
    const { headers } = await answer(dial(peer).request({ ...GOOD, 'x-mesh-envelope': '1', 'x-mesh-use': 'stream' }));
    expect(headers).toMatchObject({
      ':status': 200,
      'content-type': TYPE,
      'x-mesh-version': '1',
      'x-mesh-service': 'server',
      'x-mesh-instance': peer.instance,
      'x-mesh-envelope': '1',
      'x-mesh-max-frame': '4096',
    });
  });

  it('takes a plain client that sends frames and no headers of ours', async () => {
    const peer = await joined({ service: 'server', keyPrefix: prefix() });
    peer.onConnection(async (stream) => {
      expect(stream.remote).toEqual({ service: 'unknown', instance: '' });
      for await (const message of stream) await stream.send({ got: message });
      await stream.end();
    });
    const request = dial(peer).request({ ':method': 'POST', ':path': '/mesh/v1' });
    const got = await answer(request, (stream) => {
      const frame = encodeFrame({ text: 'Message from Node #0' });
      stream.write(Buffer.alloc(4)); // keep-alive
      stream.write(frame.subarray(0, 7));
      stream.end(frame.subarray(7));
    });
    expect(decoded(got.body)).toEqual([{ got: { text: 'Message from Node #0' } }]);
  });

  it('dials a plain server that answers 200 and nothing else', async () => {
    const keyPrefix = prefix();
    const port = await freePort();
    const server = createServer();
    server.on('stream', (stream) => {
      stream.respond({ ':status': 200 });
      stream.pipe(stream);
    });
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    onTestFinished(() => {
      server.close();
    });
    const redis = new Redis(REDIS);
    onTestFinished(() => redis.disconnect());
    const record = { service: 'plain', instance: 'p', host: '127.0.0.1', port };
    await redis.set(`${keyPrefix}:services:plain:p`, JSON.stringify(record), 'PX', 20_000);
    const client = await joined({ service: 'client', keyPrefix, layout: layouts.simple(keyPrefix) });
    const stream = await client.connect('plain');
    expect(stream.remote).toEqual({ service: 'plain', instance: 'p' });
    await stream.send({ text: 'hello' });
    await stream.end();
    expect(await all(stream)).toEqual([{ text: 'hello' }]);
    await client.leave();
  });

  it('tells the stream apart by its first frame when the caller does not say', async () => {
    const peer = await joined({ service: 'server', keyPrefix: prefix() });
    peer.handle('echo', (input) => input);
    peer.onConnection(async (stream) => {
      for await (const message of stream) await stream.send(message);
      await stream.end();
    });
    const session = dial(peer);
    const speak = (frames: unknown[]) =>
      answer(session.request({ ...GOOD, 'x-mesh-envelope': '1' }), (stream) =>
        stream.end(Buffer.concat(frames.map((frame) => encodeFrame(frame)))),
      );
    const future = { t: 'from-the-future', x: 1 };
    const call = await speak([{ t: 'hello', v: 1 }, future, { t: 'req', id: 1, m: 'echo', d: [1], extra: true }]);
    expect(decoded(call.body)).toEqual([
      { t: 'hello', v: 1, features: [] },
      { t: 'res', id: 1, d: [1] },
    ]);
    const stream = await speak([{ t: 'msg', d: 'one' }, future, { t: 'msg', d: null }]);
    expect(decoded(stream.body)).toEqual([
      { t: 'msg', d: 'one' },
      { t: 'msg', d: null },
    ]);
    const missing = await speak([{ t: 'req', id: 1, m: 'missing' }]);
    expect(decoded(missing.body)[1]).toMatchObject({ t: 'err', e: { code: 'no-method' } });
    const late = await speak([{ t: 'req', id: 1, m: 'echo', dl: 1 }]);
    expect(decoded(late.body)[1]).toMatchObject({ t: 'err', e: { code: 'timeout' } });
  });

  it('resets a stream with a frame of 4 GiB, invalid JSON, or a frame cut short', async () => {
    const peer = await joined({ service: 'server', keyPrefix: prefix() });
    peer.handle('echo', (input) => input);
    const ends: string[] = [];
    peer.onConnection(async (stream) => {
      try {
        for await (const _ of stream);
        ends.push('end');
      } catch (error) {
        ends.push((error as { kind: string }).kind);
      }
    });
    const session = dial(peer);
    const reset = async (bytes: string, end: boolean) => {
      const request = session.request({ ':method': 'POST', ':path': '/mesh/v1' });
      const { rstCode } = await answer(request, (stream) => {
        stream.write(Buffer.from(bytes, 'hex'));
        if (end) stream.end();
      });
      return rstCode;
    };
    const before = process.memoryUsage().rss;
    expect(await reset('ffffffff', false)).toBe(11); // ENHANCE_YOUR_CALM
    expect(process.memoryUsage().rss - before).toBeLessThan(256 << 20);
    expect(await reset('0000000161', false)).toBe(1); // PROTOCOL_ERROR
    expect(await reset('0000000561', true)).toBe(1);
    await until(() => ends.length === 3, 'all three have ended');
    expect(ends).toEqual(['frame-too-large', 'protocol', 'protocol']);
    expect(peer.stats()).toMatchObject({ protocolErrors: 3, streams: 0 });
    // The connection goes on.
    const call = await answer(session.request({ ...GOOD, 'x-mesh-envelope': '1' }), (stream) =>
      stream.end(encodeFrame({ t: 'req', id: 1, m: 'echo', d: 1 })),
    );
    expect(decoded(call.body)[1]).toEqual({ t: 'res', id: 1, d: 1 });
  });

  it('reports its health', async () => {
    const peer = await joined({ service: 'server', keyPrefix: prefix() });
    const session = dial(peer);
    const health = async () => {
      const { headers, body } = await answer(session.request({ ':path': '/mesh/v1/health' }));
      return [headers[':status'], (JSON.parse(body.toString()) as { status: string }).status];
    };
    expect(await health()).toEqual([200, 'ok']);
    await peer.setHealth('degraded', 'slow disk');
    expect(await health()).toEqual([200, 'degraded']);
    await peer.setHealth('down');
    expect(await health()).toEqual([503, 'down']);
    await expect(peer.setHealth('bad' as 'ok')).rejects.toMatchObject({ kind: 'invalid-options' });
  });

  it('works over TLS, and refuses a certificate that nobody vouches for', async () => {
    const keyPrefix = prefix();
    const { key, cert } = selfSigned();
    const server = await joined({ service: 'server', keyPrefix, tls: { key, cert } });
    server.handle('echo', (input) => input);
    const friend = await joined({
      service: 'friend',
      keyPrefix,
      tls: { key, cert, ca: cert, servername: 'localhost' },
    });
    expect(await friend.instances('server')).toMatchObject([{ proto: 'h2' }]);
    expect(await friend.call('server', 'echo', 'secret')).toBe('secret');
    const stranger = await joined({ service: 'stranger', keyPrefix, listen: false });
    await expect(stranger.call('server', 'echo', 1)).rejects.toMatchObject({ kind: 'connect' });
  });
});
