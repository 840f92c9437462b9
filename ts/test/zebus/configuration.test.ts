import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { busSettings, zmqSettings } from '../../src/zebus/configuration.js';
import { durationMs, durationText } from '../../src/zebus/duration.js';
import { parseEndpoint } from '../../src/zebus/endpoint.js';
import {
  BusBuilder,
  type BusConfiguration,
  DefaultConfigurationProvider,
  FileConfigurationProvider,
  MemoryTransport,
  ZmqTransport,
  type ZmqTransportConfiguration,
} from '../../src/zebus.js';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'zebus-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const BUS = `directory_endpoints = ["tcp://localhost:7465"]
registration_timeout = "1min"
start_replay_timeout = "10s"
is_persistent = false
pick_random_directory = true
enable_error_publication = true
message_batch_size = 10
`;

describe('configuration', () => {
  it('the files of the examples mean what they say', () => {
    const bus = new FileConfigurationProvider<BusConfiguration>({ env: {} }).withFile(file('bus.toml', BUS));
    expect(bus.configure()).toEqual({
      directoryEndpoints: ['tcp://localhost:7465'],
      registrationTimeout: 60_000,
      startReplayTimeout: 10_000,
      isPersistent: false,
      pickRandomDirectory: true,
      enableErrorPublication: true,
      messageBatchSize: 10,
    });
    const zmq = new DefaultConfigurationProvider<ZmqTransportConfiguration>({ env: {} }).withFile(
      file('zmq.toml', 'inbound_endpoint = "tcp://*:*"\nwait_for_end_of_stream_ack_timeout = "10s"\n'),
    );
    expect(zmq.configure()).toEqual({ inboundEndpoint: 'tcp://*:*', waitForEndOfStreamAckTimeout: 10_000 });
  });

  it('JSON says the same as TOML', () => {
    const path = file('bus.json', '{ "directory_endpoints": ["tcp://a:1"], "registration_timeout": 250 }');
    expect(new FileConfigurationProvider({ env: {} }).withFile(path).configure()).toEqual({
      directoryEndpoints: ['tcp://a:1'],
      registrationTimeout: 250,
    });
  });

  it('the environment overrides the file, for every kind of value', () => {
    const env = {
      ZEBUS_DIRECTORY_ENDPOINTS: 'tcp://a:1, tcp://b:2',
      ZEBUS_REGISTRATION_TIMEOUT: '1min 30s',
      ZEBUS_START_REPLAY_TIMEOUT: '1500',
      ZEBUS_IS_PERSISTENT: '1',
      ZEBUS_PICK_RANDOM_DIRECTORY: 'False',
      ZEBUS_MESSAGE_BATCH_SIZE: '7',
      ZEBUS_LOG: 'debug',
      ZEBUS_INBOUND_ENDPOINT: 'tcp://*:5000',
    };
    expect(new FileConfigurationProvider({ env }).withFile(file('bus.toml', BUS)).configure()).toEqual({
      directoryEndpoints: ['tcp://a:1', 'tcp://b:2'],
      registrationTimeout: 90_000,
      startReplayTimeout: 1500,
      isPersistent: true,
      pickRandomDirectory: false,
      enableErrorPublication: true,
      messageBatchSize: 7,
      inboundEndpoint: 'tcp://*:5000',
    });
  });

  it('without file and environment the defaults hold', () => {
    expect(busSettings(new FileConfigurationProvider({ env: {} }).configure())).toMatchObject({
      directoryEndpoints: [],
      registrationTimeout: 10_000,
      startReplayTimeout: 30_000,
      isPersistent: false,
      pickRandomDirectory: true,
      enableErrorPublication: false,
      messageBatchSize: 100,
      commandTimeoutMs: 60_000,
    });
    expect(zmqSettings({})).toEqual({ inboundEndpoint: 'tcp://*:*', waitForEndOfStreamAckTimeout: 10_000 });
  });

  it('unknown keys are named in a warning', () => {
    const warnings: string[] = [];
    const path = file('bus.toml', 'is_persistant = true\nmystery = 1\n');
    new FileConfigurationProvider({ env: {}, warn: (text) => warnings.push(text) }).withFile(path).configure();
    expect(warnings).toEqual([`${path}: unknown keys ignored: is_persistant, mystery`]);
  });

  it.each([
    ['bus.toml', 'message_batch_size = "many"', /message_batch_size: expected an integer above 0, got "many"/],
    ['bus.toml', 'registration_timeout = "soon"', /registration_timeout: invalid duration "soon"/],
    ['bus.toml', 'is_persistent = 3', /is_persistent: expected true or false, got 3/],
    ['bus.toml', 'directory_endpoints = "tcp://a:1"', /directory_endpoints: expected a list of text/],
    ['bus.toml', 'is_persistent = ', /bus\.toml: /],
    ['bus.json', '[]', /not a table/],
    ['bus.yaml', '', /extension must be \.toml or \.json/],
  ])('%s with %j is refused', (name, text, message) => {
    const provider = new FileConfigurationProvider({ env: {} }).withFile(file(name, text));
    expect(() => provider.configure()).toThrow(message);
    expect(() => provider.configure()).toThrow(/^zebus:configuration: /);
  });

  it('a file that is not there is an error, and so is a bad value in the environment', () => {
    expect(() => new FileConfigurationProvider({ env: {} }).withFile(join(folder, 'none.toml')).configure()).toThrow(
      /^zebus:configuration: cannot read .*none\.toml/,
    );
    expect(() => new FileConfigurationProvider({ env: { ZEBUS_IS_PERSISTENT: 'maybe' } }).configure()).toThrow(
      /is_persistent: expected true, false, 1 or 0/,
    );
  });

  it('durations', () => {
    expect(durationMs('1min 30s', '')).toBe(90_000);
    expect(durationMs('1h2m3s4ms', '')).toBe(3_723_004);
    expect(durationMs('1d', '')).toBe(86_400_000);
    expect(durationMs('2w', '')).toBe(1_209_600_000);
    expect(durationMs('1500us', '')).toBe(1.5);
    expect(durationMs(5, '')).toBe(5);
    for (const wrong of ['', '10', '10 parsecs', '-1s', '1.5s']) expect(() => durationMs(wrong, 'k')).toThrow(/k: /);
    expect(() => durationMs(-1, 'k')).toThrow(/k: invalid duration -1/);
    expect([durationText(10_000), durationText(250)]).toEqual(['10s', '250ms']);
  });

  it('endpoints', () => {
    expect(parseEndpoint('TCP://Host-1.x_y:80/')).toEqual({ host: 'host-1.x_y', port: 80 });
    expect(parseEndpoint('tcp://*:*')).toEqual({ host: '*', port: '*' });
    for (const wrong of ['http://a:1', 'tcp://a', 'tcp://a:99999', 'tcp://a b:1', 'tcp://:1']) {
      expect(() => parseEndpoint(wrong)).toThrow(/^zebus:configuration: invalid endpoint/);
    }
    expect(() => new ZmqTransport({ inboundEndpoint: 'nonsense' })).toThrow(/invalid endpoint "nonsense"/);
  });

  it('a builder says what is missing', () => {
    expect(() => new BusBuilder().create()).toThrow('zebus:configuration: BusBuilder: call configure first');
    expect(() => new BusBuilder().configureDefault('A.0', 'e', []).create()).toThrow(/call withTransport first/);
    expect(() =>
      new BusBuilder().configureDefault('A.0', 'e', ['tcp://nowhere']).withTransport(new MemoryTransport()).create(),
    ).toThrow(/invalid endpoint/);
    expect(() =>
      new BusBuilder()
        .configure('A.0', 'e', { registrationTimeout: 'never' })
        .withTransport(new MemoryTransport())
        .create(),
    ).toThrow(/registrationTimeout: invalid duration/);
  });
});
