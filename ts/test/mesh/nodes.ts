import { vi } from 'vitest';
import type * as IdentityModule from '../../src/identity.js';
import type * as BusModule from '../../src/index.js';
import type * as MeshModule from '../../src/mesh.js';

type MeshNode = MeshModule.MeshNode;

/** Resolves as soon as the condition holds. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** The error of work that has to fail. */
export async function failure(
  work: Promise<unknown> | (() => unknown),
): Promise<{ name: string; message: string; kind?: string }> {
  try {
    await (typeof work === 'function' ? work() : work);
  } catch (error) {
    return error as Error;
  }
  throw new Error('it did not fail');
}

/** Nodes of one backend, of a mesh of their own. */
export class Nodes {
  readonly #open: { shutdown(options?: { drainMs?: number }): Promise<void> }[] = [];
  #modules: { mesh: typeof MeshModule; identity: typeof IdentityModule; bus: typeof BusModule } | undefined;

  constructor(readonly backend: 'addon' | 'wasm') {}

  /** The modules on this backend. */
  async modules() {
    if (!this.#modules) {
      vi.resetModules();
      vi.stubEnv('MESHRING_BACKEND', this.backend);
      this.#modules = {
        mesh: await import('../../src/mesh.js'),
        identity: await import('../../src/identity.js'),
        bus: await import('../../src/index.js'),
      };
      vi.unstubAllEnvs();
    }
    return this.#modules;
  }

  /** A started node. */
  async make(more: object = {}): Promise<MeshNode> {
    const { mesh } = await this.modules();
    const options = { bindAddr: '127.0.0.1:0', psk: '42'.repeat(32), handshakeTimeoutMs: 2000, ...more };
    const node = this.keep(await mesh.MeshNode.create(options));
    await node.start();
    return node;
  }

  /** Shuts it down after the test. */
  keep<T extends { shutdown(): Promise<void> }>(node: T): T {
    this.#open.push(node);
    return node;
  }

  /** A connects to B. */
  join(a: MeshNode, b: MeshNode): Promise<void> {
    return a.connect(b.localAddress(), b.publicKey(), b.nodeId());
  }

  /** Two nodes with a session that both know of. */
  async pair(a: object = {}, b: object = {}): Promise<[publisher: MeshNode, subscriber: MeshNode]> {
    const nodes: [MeshNode, MeshNode] = [await this.make(a), await this.make(b)];
    const joined = new Promise<void>((resolve) => nodes[0].on('peer', () => resolve()));
    await this.join(nodes[1], nodes[0]);
    await joined;
    return nodes;
  }

  /** The part of a node below its facade that tests need: messages, and a blocked link. */
  async below(node: MeshNode) {
    const { mesh } = await this.modules();
    return { core: mesh.MeshNode.coreOf(node), control: mesh.MeshNode.controlOf(node) };
  }

  async close(): Promise<void> {
    for (const node of this.#open.splice(0).reverse()) await node.shutdown({ drainMs: 0 }).catch(() => {});
  }
}
