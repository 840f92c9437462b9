import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Cleanup, until } from './support/buses.js';
import { bundle, Program } from './support/programs.js';

const cleanup = new Cleanup();
afterEach(cleanup.run);

const files: Record<string, string> = {};
beforeAll(async () => {
  for (const name of ['directory', 'echo', 'echo-client', 'chat']) {
    files[name] = await bundle(`samples/zebus/${name}.mjs`);
  }
});

function run(name: string, args: string[] = [], env: Record<string, string> = {}): Program {
  const program = new Program(files[name] ?? name, args, env);
  cleanup.add(() => program.kill());
  return program;
}

/** The directory sample on a free port, and the environment that points the others at it. */
async function directory(): Promise<Record<string, string>> {
  const program = run('directory', ['tcp://127.0.0.1:*']);
  const line = await program.printed(/^directory on /);
  return {
    ZEBUS_DIRECTORY_ENDPOINTS: line.replace('directory on ', ''),
    ZEBUS_INBOUND_ENDPOINT: 'tcp://127.0.0.1:*',
  };
}

describe('the echo sample', () => {
  it('prints what it is told, and leaves at a key', async () => {
    const env = await directory();
    const echo = run('echo', [], env);
    await echo.printed('Press a key to exit');
    const client = run('echo-client', ['hello', 'world'], env);
    expect(await client.exit).toBe(0);
    expect(client.lines).toEqual(['hello: done', 'world: done']);
    expect(echo.lines).toEqual(['Press a key to exit', 'ECHO hello', 'ECHO world']);
    echo.type('x');
    expect(await echo.exit).toBe(0);
    expect(echo.errors).toEqual([]);
  });

  it('says why it could not start', async () => {
    const env = {
      ZEBUS_DIRECTORY_ENDPOINTS: 'tcp://127.0.0.1:9',
      ZEBUS_REGISTRATION_TIMEOUT: '200ms',
      ZEBUS_INBOUND_ENDPOINT: 'tcp://127.0.0.1:*',
    };
    const echo = run('echo', [], env);
    expect(await echo.exit).toBe(0);
    expect(echo.lines).toEqual([]);
    expect(echo.errors).toEqual([
      'failed to start bus: zebus:registration-failed: failed to register to directory:',
      '    tried Abc.Zebus.Directory.0 [tcp://127.0.0.1:9]: timeout after 200ms',
    ]);
  });
});

describe('without the package zeromq', () => {
  it('everything loads, and the transport says what to install when it starts', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'zebus-'));
    cleanup.add(() => rmSync(folder, { recursive: true }));
    const echo = run(await bundle('samples/zebus/echo.mjs', folder));
    expect(await echo.exit).toBe(0);
    expect(echo.errors).toEqual([
      'failed to start bus: zebus:transport-unavailable: ZmqTransport needs the optional package "zeromq": install it with `npm install zeromq@6`',
    ]);
  });
});

describe('the chat sample', () => {
  it('brings messages to those in the room, and nobody else', async () => {
    const env = await directory();
    const alice = run('chat', ['alice', 'room1'], env);
    await alice.printed('alice joined room1');
    const bob = run('chat', ['bob', 'room2'], env);
    await bob.printed('bob joined room2');
    await alice.printed('* bob is here');

    bob.type('room1 hello alice');
    await alice.printed('[room1] bob: hello alice');
    alice.type('room2 hello bob');
    await bob.printed('[room2] alice: hello bob');
    alice.type('room3 nobody is here');

    bob.type('/join room1');
    await bob.printed('bob joined room1');
    // The directory tells alice on its own time.
    let n = 0;
    await until('bob hears room1', () => {
      alice.type(`room1 are you there ${n++}`);
      return bob.lines.some((line) => line.startsWith('[room1] alice: are you there'));
    });
    bob.type('/leave room1');
    await bob.printed('bob left room1');
    bob.type('/quit');
    expect(await bob.exit).toBe(0);
    await alice.printed('* bob has left');
    alice.type('/quit');
    expect(await alice.exit).toBe(0);
    expect([...alice.errors, ...bob.errors]).toEqual([]);
    expect(alice.lines.concat(bob.lines).filter((line) => line.includes('nobody'))).toEqual([]);
  });
});
