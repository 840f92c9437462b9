import { door } from '../../src/backend/choose.js';
import { CALL, type RawMesh } from '../../src/backend/mesh.js';
import { readHappenings } from '../../src/mesh/batch.js';

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** An engine of the network. */
export interface NetEngine {
  readonly id: bigint;
  readonly raw: RawMesh;
}

/** Engines without sockets on a network in memory: links are numbers that join two of them, time is a variable. */
export class EngineNet {
  now = 1_000_000;
  readonly engines: NetEngine[] = [];
  /** Datagrams that are dropped; by index of all that were sent. */
  drop: (index: number, datagram: Uint8Array) => boolean = () => false;
  readonly #joined = new Map<string, [NetEngine, NetEngine]>();
  #sent = 0;

  /** A started engine. `extension` 0: it speaks as 0.19.0 does. */
  add(id: bigint, extension = 1): NetEngine {
    const keys = new Uint8Array(96).fill(this.engines.length + 1);
    keys.fill(0x42, 0, 32);
    const raw = new door.RawMesh(this.now, id, keys, [200, 1000, 5000, 1000, 1 << 20, extension]);
    raw.start(this.now);
    const engine = { id, raw };
    this.engines.push(engine);
    return engine;
  }

  /** Puts a link between two engines; they are not connected by it. */
  link(name: string, a: NetEngine, b: NetEngine): void {
    this.#joined.set(name, [a, b]);
  }

  /** Moves datagrams until there are none. */
  settle(): void {
    for (let moved = true; moved; ) {
      moved = false;
      for (const from of this.engines) {
        const batch = from.raw.takeTransmits(this.now);
        const view = new DataView(batch.buffer, batch.byteOffset, batch.byteLength);
        for (let at = 0; at < batch.length; ) {
          const start = at + 4 + view.getUint16(at, true);
          const link = text(batch.subarray(at + 4, start));
          const datagram = new Uint8Array(batch.subarray(start, start + view.getUint16(at + 2, true)));
          const to = this.#joined.get(link)?.find((engine) => engine !== from);
          if (!to) throw new Error(`${from.id} sends to ${link}`);
          at = start + datagram.length;
          if (!this.drop(this.#sent++, datagram)) to.raw.handleDatagram(this.now, link, datagram);
          moved = true;
        }
      }
    }
  }

  /** Lets time pass. */
  pass(micros: number): void {
    const end = this.now + micros;
    for (;;) {
      this.settle();
      const deadlines = this.engines.map(({ raw }) => raw.nextDeadline()).filter((at) => at >= 0 && at <= end);
      if (deadlines.length === 0) break;
      this.now = Math.max(this.now, Math.min(...deadlines));
      for (const { raw } of this.engines) raw.handleTimeout(this.now);
    }
    this.now = end;
  }

  /** Connects two engines; returns what the caller was told. `how` as in `CALL`. */
  connect(from: NetEngine, to: NetEngine, link: string, how: number = CALL.auto): ReturnType<typeof readHappenings> {
    from.raw.connect(this.now, how, link, to.raw.publicKey(), to.id);
    // Without the extension a started node answers the routed message only, which follows a second later.
    this.pass(1_200_000);
    return readHappenings(from.raw.takeEvents());
  }
}
