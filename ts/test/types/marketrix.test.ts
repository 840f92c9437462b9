import { expectTypeOf, it } from 'vitest';
import {
  type CallContext,
  type CallOptions,
  type ConnectOptions,
  type DataChange,
  type DataEntry,
  type DiscoveryLayout,
  encodeFrame,
  type FrameDecoder,
  type Health,
  layouts,
  MarketrixError,
  type MarketrixErrorKind,
  Mesh,
  type MeshOptions,
  MeshPeer,
  type PeerChange,
  type PeerRecord,
  type PeerRef,
  type PeerStats,
  type PeerStream,
  type Remote,
} from '../../src/marketrix.js';

it('has the types that the guide promises', () => {
  expectTypeOf(Mesh).toEqualTypeOf(MeshPeer);
  expectTypeOf(MeshPeer.join).parameters.toEqualTypeOf<[MeshOptions]>();
  expectTypeOf(MeshPeer.join).returns.resolves.toEqualTypeOf<MeshPeer>();
  expectTypeOf<MeshPeer['serviceName']>().toEqualTypeOf<string>();
  expectTypeOf<MeshPeer['port']>().toEqualTypeOf<number | null>();
  expectTypeOf<MeshPeer['instances']>().returns.resolves.toEqualTypeOf<PeerRecord[]>();
  expectTypeOf<MeshPeer['watch']>().returns.toExtend<AsyncIterable<PeerChange>>();
  expectTypeOf<MeshPeer['connect']>().parameters.toEqualTypeOf<[string, ConnectOptions?]>();
  expectTypeOf<MeshPeer['connect']>().returns.resolves.toEqualTypeOf<PeerStream>();
  expectTypeOf<MeshPeer['publish']>().returns.resolves.toEqualTypeOf<number>();
  expectTypeOf<MeshPeer['subscribe']>().returns.resolves.toEqualTypeOf<() => Promise<void>>();
  expectTypeOf<MeshPeer['stats']>().returns.toEqualTypeOf<PeerStats>();
  expectTypeOf<MeshPeer['setHealth']>().parameter(0).toEqualTypeOf<Health>();
  expectTypeOf<MeshPeer>().toExtend<{ [Symbol.asyncDispose](): Promise<void> }>();
  expectTypeOf<PeerStream>().toExtend<AsyncIterable<unknown>>();
  expectTypeOf<PeerStream['remote']>().toEqualTypeOf<PeerRef>();
  expectTypeOf<CallOptions['timeoutMs']>().toEqualTypeOf<number | undefined>();
});

it('infers calls, handlers and services', () => {
  const use = (mesh: MeshPeer) => {
    expectTypeOf(mesh.call<number>('a', 'b')).resolves.toEqualTypeOf<number>();
    expectTypeOf(mesh.call('a', 'b')).resolves.toEqualTypeOf<unknown>();
    expectTypeOf(mesh.stream<string, number>('a', 'b', 'x')).toExtend<AsyncIterable<number>>();
    // @ts-expect-error: the input is a string, or a stream of strings
    mesh.stream<string, number>('a', 'b', 1);
    mesh.handle('m', (input: string, ctx) => {
      expectTypeOf(ctx).toEqualTypeOf<CallContext>();
      return input.length;
    });
    mesh.handle('s', async function* (input: AsyncIterable<number>) {
      for await (const n of input) yield n;
    });
    const math = mesh.service<{ add(a: number, b: number): Promise<number> }>('math');
    expectTypeOf(math.add).returns.resolves.toEqualTypeOf<number>();
    const plain = mesh.service<Remote<{ add(a: number, b: number): number }>>('math');
    expectTypeOf(plain.add).toEqualTypeOf<(a: number, b: number) => Promise<number>>();
    // @ts-expect-error: only what JSON headers can be
    mesh.call('a', 'b', null, { headers: { n: 1 } });
    const ns = mesh.data.ns('n');
    expectTypeOf(ns.get<{ a: 1 }>('k')).resolves.toEqualTypeOf<DataEntry<{ a: 1 }> | null>();
    expectTypeOf(ns.set).returns.resolves.toEqualTypeOf<number>();
    expectTypeOf(ns.watch<string>('k')).resolves.toExtend<AsyncIterable<DataChange<string>>>();
  };
  expectTypeOf(use).toBeFunction();
  // @ts-expect-error: a service name is needed
  expectTypeOf<MeshOptions>().toExtend<{ service: undefined }>();
});

it('types errors, frames and layouts', () => {
  const error = new MarketrixError('handler', 'text', { code: 'C', data: 1 });
  expectTypeOf(error.kind).toEqualTypeOf<MarketrixErrorKind>();
  expectTypeOf(error.remote).toEqualTypeOf<PeerRef | undefined>();
  // @ts-expect-error: not a kind
  expectTypeOf(new MarketrixError('other', 'text')).toBeObject();
  expectTypeOf(encodeFrame).returns.toEqualTypeOf<Buffer>();
  expectTypeOf<FrameDecoder['push']>().parameter(0).toEqualTypeOf<Uint8Array>();
  expectTypeOf(layouts.simple).returns.toEqualTypeOf<DiscoveryLayout>();
});
