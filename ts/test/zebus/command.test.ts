import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { defineCommand, MessageHandler } from '../../src/zebus.js';
import { Cleanup, until } from './support/buses.js';
import { bundle, Program } from './support/programs.js';

const Ask = defineCommand({ namespace: 'Test', name: 'Ask', fields: {} });
const cleanup = new Cleanup();
afterEach(cleanup.run);
let cli = '';
beforeAll(async () => {
  cli = await bundle('ts/test/zebus/support/directory-program.ts');
});

function directory(endpoint: string, store: string): Program {
  const args = [
    '--endpoint',
    endpoint,
    '--environment',
    'test',
    '--store',
    store,
    '--ping-interval',
    '100ms',
    '--json',
  ];
  const program = new Program(cli, [...args, '--advertised-host', '127.0.0.1']);
  cleanup.add(() => program.kill());
  return program;
}

async function endpointOf(program: Program): Promise<string> {
  return JSON.parse(await program.printed(/"listening"/)).endpoint as string;
}

describe('meshring zebus-directory', () => {
  it('runs a directory; killed and started again, it has its peers back', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'zebus-'));
    cleanup.add(() => rmSync(folder, { recursive: true }));
    const store = join(folder, 'peers.json');
    const first = directory('tcp://*:*', store);
    const endpoint = await endpointOf(first);
    const settings = { directoryPingInterval: 300, registrationTimeout: 500 };
    const server = await cleanup.peer(
      'Server.0',
      endpoint,
      [MessageHandler.stateless().handles(Ask, () => {})],
      settings,
    );
    const client = await cleanup.peer('Client.0', endpoint, [], settings);
    expect((await client.send(Ask.create({}))).isSuccess).toBe(true);
    first.kill();
    await first.exit;
    // Nobody needs the directory to talk.
    expect((await client.send(Ask.create({}))).isSuccess).toBe(true);
    const second = directory(endpoint, store);
    await endpointOf(second);
    await until('both are back', () =>
      ['Server.0', 'Client.0'].every((id) =>
        second.lines.some((line) => line.includes(`"change":"started","peer":"${id}"`)),
      ),
    );
    const late = await cleanup.peer('Late.0', endpoint);
    expect((await late.send(Ask.create({}))).isSuccess).toBe(true);
    await Promise.all([late.stop(), client.stop(), server.stop()]);
    second.process.kill('SIGTERM');
    expect(await second.exit).toBe(0);
    expect(second.errors).toEqual([]);
  });

  it('says what is missing', async () => {
    const program = new Program(cli);
    expect(await program.exit).toBe(1);
    expect(program.errors.join('\n')).toMatch(/required option '--environment <name>' not specified/);
    const wrong = new Program(cli, ['--environment', 'x', '--endpoint', 'nonsense']);
    expect(await wrong.exit).toBe(1);
    expect(wrong.errors).toEqual([
      'zebus:configuration: invalid endpoint "nonsense", expected tcp://<host|*>:<port|*>',
    ]);
  });
});
