import { createSocket, type Socket } from 'node:dgram';

/** A wire with an ear: passes datagrams between who sends here and a target, and keeps a copy of each. */
export class Tap {
  /** Where to send instead of to the target. */
  readonly address: string;
  /** Datagrams that went to the target. */
  readonly toTarget: Buffer[] = [];
  /** Datagrams that came from it. */
  readonly fromTarget: Buffer[] = [];
  readonly #socket: Socket;

  private constructor(socket: Socket, target: number) {
    this.#socket = socket;
    this.address = `127.0.0.1:${socket.address().port}`;
    let caller: number | undefined;
    socket.on('message', (bytes, { port }) => {
      const back = port === target;
      if (!back) caller = port;
      (back ? this.fromTarget : this.toTarget).push(bytes);
      const to = back ? caller : target;
      if (to !== undefined) socket.send(bytes, to, '127.0.0.1');
    });
  }

  /** Listens in front of `127.0.0.1:port`. */
  static async open(target: string): Promise<Tap> {
    const socket = createSocket('udp4');
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
    return new Tap(socket, Number(target.split(':')[1]));
  }

  close(): void {
    this.#socket.close();
  }
}
