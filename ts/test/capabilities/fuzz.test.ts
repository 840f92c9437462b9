/**
 * Every parser of the control plane, fed with damaged samples of what it reads and with things made to hurt. Ordinary runs
 * draw the same cases; with MESHRING_SOAK each parser gets new ones for `MESHRING_FUZZ_SECONDS` (20). Work that grows faster
 * than its input shows as a timeout here, since inputs reach the largest sizes that a packet can carry.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  canonicalSocketAddress,
  decodeAnnouncement,
  encodeAnnouncement,
  localCopy,
  MAX_ANNOUNCEMENT_BYTES,
  peekAnnouncement,
  projectCapabilities,
  scopeOf,
  scopeTest,
  signAnnouncement,
  signedPayload,
  verifyAnnouncement,
  viewOf,
} from '../../src/capabilities/index.js';
import {
  compilePredicate,
  evaluatePredicate,
  evaluatePredicateWithTrace,
  type Predicate,
  type PredicateWire,
  predicateDebugReport,
  predicateFromRpcHeader,
  predicateFromWire,
  predicateToRpcHeader,
  predicateToWire,
  redactMetadataKeys,
  tagFromString,
  tagFromUserString,
  tagToString,
} from '../../src/capability-enhancements.js';
import { validateCapabilities } from '../../src/capability-schema.js';
import {
  canonicalChannelHash,
  channelNameProblem,
  decodeExtension,
  decodeMembership,
  encodeMembership,
} from '../../src/channels/index.js';
import { MeshringError } from '../../src/errors.js';
import { decodeToken, encodeToken, isTrustedIssuer, TokenCache } from '../../src/identity/index.js';
import { delegateToken, Identity, Token, TokenError } from '../../src/identity.js';
import { assignSubnet, compilePolicy, packSubnet, subnetId, unpackSubnet } from '../../src/subnets/index.js';

const soak = process.env.MESHRING_SOAK !== undefined;
const seconds = Number(process.env.MESHRING_FUZZ_SECONDS ?? 20);
const rounds = soak
  ? { numRuns: 10_000_000, interruptAfterTimeLimit: seconds * 1000, markInterruptAsFailure: false }
  : { numRuns: 400 };
const timeout = 60_000 + (soak ? seconds * 2000 : 0);

const encoder = new TextEncoder();
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const identity = Identity.fromSeed(new Uint8Array(32).fill(1));
const guest = Identity.fromSeed(new Uint8Array(32).fill(2));

/** Texts that break things, to be put anywhere. */
const BARBS = [
  '"',
  '\\',
  '{',
  '[',
  '}',
  ']',
  ':',
  ',',
  '0',
  '-',
  '.',
  '=',
  '/',
  '\0',
  'null',
  '1e999',
  '18446744073709551616',
  '-1',
  '1.0',
  '"__proto__":{"a":1}',
  '"toString":1',
  '{"toString":1,"valueOf":1}',
  '\\ud800',
  '\ud800',
  '\u2028',
  'é',
  '\u{1f600}',
  '[]'.repeat(50),
  '['.repeat(3000),
  '{"a":'.repeat(1500),
  '9'.repeat(5000),
  'a'.repeat(7000),
  '\\u0000'.repeat(1000),
];

interface Change {
  readonly at: number;
  readonly cut: number;
  readonly put: Uint8Array;
}

const change: fc.Arbitrary<Change> = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  cut: fc.oneof(fc.constant(0), fc.nat(4), fc.nat(400)),
  put: fc.oneof(
    fc.constant(new Uint8Array()),
    fc.uint8Array({ maxLength: 4 }),
    fc.constantFrom(...BARBS).map((barb) => encoder.encode(barb)),
  ),
});

/** A sample with some pieces cut out and others put in, at most as long as a packet can carry. */
function damaged(...samples: Uint8Array[]): fc.Arbitrary<Uint8Array> {
  return fc.tuple(fc.constantFrom(...samples), fc.array(change, { maxLength: 6 })).map(([sample, changes]) => {
    let bytes = sample;
    for (const { at, cut, put } of changes) {
      const from = Math.floor(at * bytes.length);
      const next = new Uint8Array(from + put.length + Math.max(0, bytes.length - from - cut));
      next.set(bytes.subarray(0, from));
      next.set(put, from);
      next.set(bytes.subarray(Math.min(bytes.length, from + cut)), from + put.length);
      bytes = next;
    }
    return bytes.subarray(0, 8200);
  });
}

const damagedText = (...samples: string[]) => damaged(...samples.map((sample) => encoder.encode(sample))).map(text);

/** Runs `work`; only errors of the package may be thrown. */
function orRefused<T>(work: () => T, allowed: (error: unknown) => boolean = () => false): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof MeshringError || allowed(error)) return undefined;
    throw error;
  }
}

/** Any value, also such as cannot be made a string. */
const odd = fc.oneof(
  fc.anything(),
  fc.constantFrom<unknown>({ toString: 1, valueOf: 1 }, Object.create(null), -0, 7, '7', [7]),
);

describe('announcements', () => {
  const { nodeId, entityId } = identity;
  const { tags } = projectCapabilities({
    hardware: { cpuCores: 8, memoryGb: 64, gpu: { vendor: 'nvidia', model: 'é"\\', vramGb: 80 } },
    models: [{ modelId: 'm', modalities: ['code'] }],
    tags: ['scope:tenant:a', `causal:${'0'.repeat(16)}:7`, `heat:${'0'.repeat(16)}=0.50`],
  });
  const base = { nodeId, entityId, version: 2n ** 64n - 1n, timestampNs: 1n, ttlSecs: 300, tags, hopCount: 0 };
  const signed = signAnnouncement({ ...base, metadata: new Map([['a', 'b']]), reflexAddr: '[::1]:9' }, identity);
  const samples = [signed, { ...signed, hopCount: 14 }, { ...base, metadata: new Map() }].map((a) =>
    encodeAnnouncement(a),
  );

  it('are decoded, and encoded to one form, or are nothing', { timeout }, () => {
    fc.assert(
      fc.property(damaged(...samples), (bytes) => {
        peekAnnouncement(bytes);
        const a = decodeAnnouncement(bytes);
        if (!a) return;
        const once = encodeAnnouncement(a);
        const again = once.length <= MAX_ANNOUNCEMENT_BYTES ? decodeAnnouncement(once) : a;
        expect(again && encodeAnnouncement(again)).toEqual(once);
        verifyAnnouncement(a);
        viewOf(localCopy(a).tags);
        scopeOf(a.tags);
      }),
      rounds,
    );
  });

  it('verify only as they were signed', () => {
    for (const sample of samples.slice(0, 2)) {
      for (let at = 0; at < sample.length; at++) {
        const bytes = sample.slice();
        bytes[at] = (bytes[at] as number) ^ 1;
        const a = decodeAnnouncement(bytes);
        // What the hop count says is not signed.
        if (a && verifyAnnouncement(a)) expect(signedPayload(a)).toEqual(signedPayload(signed));
      }
    }
  });
});

describe('tokens', () => {
  const token = identity.issueToken({
    subject: guest.entityId,
    scope: ['subscribe', 'delegate'],
    channel: 'a',
    ttlSeconds: 1000,
    delegationDepth: 3,
  });
  const child = delegateToken(guest, token, identity.entityId, ['subscribe']);

  it('are 169 bytes, read and written the same; damage shows in the signature', { timeout }, () => {
    const samples = [token.toBuffer(), child.toBuffer()].map((bytes) => Uint8Array.from(bytes));
    fc.assert(
      fc.property(damaged(...samples), (bytes) => {
        const decoded = orRefused(() => decodeToken(bytes));
        expect(decoded !== undefined).toBe(bytes.length === 169);
        if (!decoded) return;
        expect(encodeToken(decoded, () => bytes.subarray(105))).toEqual(Uint8Array.from(bytes));
        const parsed = Token.parse(bytes);
        const intact = samples.some((sample) => sample.every((byte, i) => byte === bytes[i]));
        expect(parsed.verify()).toBe(intact);
        const passedOn = orRefused(
          () => delegateToken(guest, parsed, identity.entityId, ['subscribe']),
          (error) => error instanceof TokenError,
        );
        if (passedOn) expect(passedOn.verify()).toBe(true);
      }),
      rounds,
    );
  });

  it('chains of any shape are followed to an end', { timeout }, () => {
    const people = Array.from({ length: 6 }, (_, n) => Identity.fromSeed(new Uint8Array(32).fill(n + 1)));
    const link = fc.record({
      from: fc.nat(5),
      to: fc.nat(5),
      depth: fc.nat(255),
      generation: fc.nat(1),
      life: fc.nat(3),
    });
    fc.assert(
      fc.property(fc.array(link, { maxLength: 40 }), fc.nat(5), (links, owner) => {
        const cache = new TokenCache();
        const tokens = links.map(({ from, to, depth, life }) => {
          const [issuer, subject] = [people[from] as Identity, people[to] as Identity];
          const scope = ['subscribe', 'delegate'] as const;
          const made = issuer.issueToken({
            subject: subject.entityId,
            scope: [...scope],
            channel: 'a',
            ttlSeconds: 1000 + life,
            delegationDepth: depth,
          });
          return decodeToken(Uint8Array.from(made.toBuffer()));
        });
        for (const one of tokens) cache.insert(one);
        for (const one of tokens) {
          const byOwner = one.issuer.every((byte, i) => byte === people[owner]?.entityId[i]);
          const trusted = isTrustedIssuer(one, (people[owner] as Identity).entityId, 'owner', cache);
          if (byOwner) expect(trusted).toBe(true);
          // Nobody but the owner issued: no chain leads to it.
          if (!links.some(({ from }) => from === owner)) expect(trusted).toBe(false);
        }
      }),
      soak ? rounds : { numRuns: 20 },
    );
  });
});

describe('membership', () => {
  it('decodes to one form or to nothing', { timeout }, () => {
    const samples = [
      encodeMembership({ type: 'subscribe', nonce: 1n, channel: 'a/b', token: new Uint8Array(169), queueGroup: 'g' }),
      encodeMembership({ type: 'subscribe', nonce: 2n ** 64n - 1n, channel: 'a' }),
      encodeMembership({ type: 'unsubscribe', nonce: 0n, channel: 'x'.repeat(255) }),
      encodeMembership({ type: 'ack', nonce: 1n, accepted: false, reason: 'rate-limited' }),
    ];
    fc.assert(
      fc.property(damaged(...samples), (bytes) => {
        decodeExtension(bytes);
        const message = decodeMembership(bytes);
        if (message) expect(decodeMembership(encodeMembership(message))).toEqual(message);
      }),
      rounds,
    );
  });

  it('channel names have a hash or a problem', { timeout }, () => {
    fc.assert(
      fc.property(damagedText('sensors/temp-1', 'a', 'x'.repeat(255)), (name) => {
        if (channelNameProblem(name) === undefined) canonicalChannelHash(name);
        else orRefused(() => canonicalChannelHash(name));
      }),
      rounds,
    );
  });
});

describe('tags, scopes, subnets, addresses', () => {
  it('tags are read and written the same', { timeout }, () => {
    fc.assert(
      fc.property(
        damagedText('hardware.gpu.vendor=nvidia', 'software.os:linux', 'scope:tenant:a', 'heat:x=0.5', 'devices.'),
        (tag) => {
          const read = orRefused(() => tagFromString(tag));
          if (read) expect(tagToString(read)).toBe(tag);
          const user = orRefused(() => tagFromUserString(tag));
          if (user) expect(tagToString(user)).toBe(tag);
          if (tag === '') return;
          viewOf([tag]);
          validateCapabilities({ tags: [tag], metadata: {} });
          const scope = scopeOf([tag, 'scope:region:']);
          expect(scopeTest({ kind: 'any' }, () => false)(scope, 1n)).toBe(scope.kind !== 'subnet-local');
          const policy = compilePolicy({
            rules: [{ tagPrefix: tag.slice(0, 5), level: 0, values: { [tag.slice(5)]: 7 } }],
          });
          expect(assignSubnet(policy, [tag]) >>> 24).toBe(7);
        },
      ),
      rounds,
    );
  });

  it('any filter of scopes is a test or refused', { timeout }, () => {
    fc.assert(
      fc.property(
        fc.anything(),
        fc.constantFrom('tenant', 'tenants', 'region', 'regions', 'Any', '__proto__'),
        (value, kind) => {
          const filter = { kind, tenant: value, tenants: value, region: value, regions: value } as never;
          const test = orRefused(() => scopeTest(filter, () => true));
          if (test) expect(typeof test(scopeOf(['scope:tenant:a']), 1n)).toBe('boolean');
        },
      ),
      rounds,
    );
  });

  it('subnets of anything are four levels or an error of the package', { timeout }, () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.array(fc.oneof(fc.integer({ min: -2, max: 300 }), odd), { maxLength: 6 }), odd),
        (levels) => {
          const packed = orRefused(() => packSubnet({ levels } as never));
          if (packed !== undefined) expect(packSubnet({ levels: unpackSubnet(packed) })).toBe(packed);
          if (Array.isArray(levels)) orRefused(() => subnetId(...(levels as number[])));
        },
      ),
      rounds,
    );
  });

  it('addresses have one form or none', { timeout }, () => {
    fc.assert(
      fc.property(
        damagedText('203.0.113.5:9000', '[2001:db8::1]:9000', '[::ffff:1.2.3.4]:1', '[fe80::1%3]:65535'),
        (address) => {
          const once = canonicalSocketAddress(address);
          if (once !== undefined) expect(canonicalSocketAddress(once)).toBe(once);
        },
      ),
      rounds,
    );
  });
});

describe('predicates', () => {
  const key = { axis: 'hardware', key: 'memory_gb' } as const;
  const wire: PredicateWire = {
    nodes: [
      { kind: 'exists', key },
      { kind: 'numeric_in_range', key, min: 1, max: 1e300 },
      { kind: 'semver_at_least', key, version: '1.2.3' },
      { kind: 'string_matches', key, pattern: 'a' },
      { kind: 'metadata_equals', key: '__proto__', value: 'x' },
      { kind: 'not', child: 0 },
      { kind: 'or', children: [0, 1, 2, 3] },
      { kind: 'and', children: [4, 5, 6, 6] },
    ],
    root_idx: 7,
  };
  const tags = ['hardware.memory_gb=64', `hardware.x=${'9'.repeat(7000)}`];

  /** Everything that can be done with a predicate; answers agree. */
  function use(pred: Predicate): void {
    const answer = evaluatePredicate(pred, tags, { a: 'b' });
    expect(compilePredicate(pred).evaluate(tags, { a: 'b' })).toBe(answer);
    const traced = orRefused(() => evaluatePredicateWithTrace(pred, tags, { a: 'b' }));
    if (traced) expect(traced.result).toBe(answer);
    const report = orRefused(() => predicateDebugReport(pred, [{ tags, metadata: {} }]));
    if (report) redactMetadataKeys(report, ['a']);
    const flat = orRefused(() => predicateToWire(pred));
    if (flat) expect(predicateToWire(predicateFromWire(flat))).toEqual(flat);
    orRefused(() => predicateToRpcHeader(pred));
  }

  it('of headers: a predicate, a SyntaxError, or an error of the package', { timeout }, () => {
    fc.assert(
      fc.property(damagedText(JSON.stringify(wire)), (header) => {
        const pred = orRefused(
          () => predicateFromRpcHeader(header),
          (error) => error instanceof SyntaxError,
        );
        if (pred) use(pred);
      }),
      rounds,
    );
  });

  it('of any values in any place', { timeout }, () => {
    const place = fc.constantFrom('kind', 'key', 'child', 'children', 'value', 'min', 'max', 'version', 'pattern');
    fc.assert(
      fc.property(fc.nat(7), place, odd, fc.option(odd, { nil: undefined }), (at, name, value, root) => {
        const nodes: unknown[] = structuredClone(wire.nodes);
        nodes[at] = { ...(nodes[at] as object), [name]: value };
        const pred = orRefused(() => predicateFromWire({ nodes, root_idx: root ?? 7 } as never));
        if (pred) use(pred);
        orRefused(() => predicateFromWire({ nodes: value, root_idx: 0 } as never));
        orRefused(() => predicateFromWire(value as never));
      }),
      rounds,
    );
  });
});
