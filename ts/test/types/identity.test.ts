import { expectTypeOf, it } from 'vitest';
import {
  channelHash,
  delegateToken,
  Identity,
  type IdentityError,
  type IssueTokenOptions,
  Token,
  type TokenError,
  type TokenErrorKind,
  type TokenScope,
} from '../../src/index.js';

it('the identity module has the published types', () => {
  expectTypeOf<TokenScope>().toEqualTypeOf<'publish' | 'subscribe' | 'admin' | 'delegate'>();
  expectTypeOf<TokenError['kind']>().toEqualTypeOf<TokenErrorKind>();
  expectTypeOf<IdentityError>().toExtend<Error>();
  expectTypeOf(Identity.fromSeed).toBeCallableWith(Buffer.alloc(32));
  expectTypeOf(Identity.generate).returns.toEqualTypeOf<Identity>();
  expectTypeOf<Identity['entityId']>().toEqualTypeOf<Buffer>();
  expectTypeOf<Identity['originHash']>().toEqualTypeOf<bigint>();
  expectTypeOf<Identity['nodeId']>().toEqualTypeOf<bigint>();
  expectTypeOf<Identity['sign']>().returns.toEqualTypeOf<Buffer>();
  expectTypeOf<Identity['lookupToken']>().returns.toEqualTypeOf<Token | null>();
  expectTypeOf<Identity['tokenCacheLen']>().toEqualTypeOf<number>();
  expectTypeOf<{
    subject: Buffer;
    scope: readonly TokenScope[];
    channel: string;
    ttlSeconds: number;
    delegationDepth?: number;
  }>().toExtend<IssueTokenOptions>();
  expectTypeOf<Token['scope']>().toEqualTypeOf<ReadonlySet<TokenScope>>();
  expectTypeOf<Token['notBefore']>().toEqualTypeOf<Date>();
  expectTypeOf<Token['bytes']>().toEqualTypeOf<Buffer>();
  expectTypeOf(Token.parse).returns.toEqualTypeOf<Token>();
  expectTypeOf(channelHash).toEqualTypeOf<(channel: string) => bigint>();
  expectTypeOf(delegateToken).returns.toEqualTypeOf<Token>();
});
