/** What nodes leave behind in a process: nothing. Programs that load the built package, as an application's would. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..', '..', '..');
const prebuilt = join(root, 'native', 'prebuilt');
const hasAddon = existsSync(prebuilt) && readdirSync(prebuilt).some((file) => file.endsWith('.node'));
const soak = process.env.MESHRING_SOAK !== undefined;

/** Runs a program that is killed, and fails the test, if it does not end by itself. */
function run(program: string, backend = 'addon'): { output: string; status: number | null } {
  const prelude = `
    const { Worker } = require('node:worker_threads');
    const { readdirSync, readFileSync } = require('node:fs');
    const entry = ${JSON.stringify(join(root, 'dist', 'index.js'))};
    const { NetNode } = require(entry);
    const comm = (task) => { try { return readFileSync('/proc/self/task/' + task + '/comm', 'utf8'); } catch { return ''; } };
    const drains = () => readdirSync('/proc/self/task').filter((task) => comm(task).startsWith('meshring-drain')).length;
    const turn = () => new Promise((resolve) => setImmediate(resolve));
    const until = async (condition) => {
      for (const end = Date.now() + 20_000; !condition() && Date.now() < end; ) { globalThis.gc?.(); await turn(); }
    };
    const worker = (source, workerData) => new Worker(source, { eval: true, workerData: { entry, ...workerData } });
    const message = (worker) => new Promise((resolve) => worker.once('message', resolve));
    (async () => {${program}})();`;
  const env = { ...process.env, MESHRING_BACKEND: backend };
  const done = spawnSync(process.execPath, ['--expose-gc', '-e', prelude], { encoding: 'utf8', timeout: 120_000, env });
  return { output: done.stdout + done.stderr, status: done.status };
}

const linux = process.platform === 'linux';

describe.runIf(hasAddon && linux)('threads and memory', () => {
  it('of a node are gone after its shutdown, thousands of times', () => {
    const program = `
      const cycles = ${soak ? 10_000 : 1000};
      const event = Buffer.alloc(1000, 32);
      const cycle = async () => {
        const node = await NetNode.create({ shards: 2 });
        for (let i = 0; i < 1000; i++) node.emitBuffer(event);
        await node.flush();
        await node.shutdown();
      };
      const grown = () => process.memoryUsage().rss - before;
      for (let i = 0; i < cycles / 5; i++) await cycle();
      await until(() => drains() === 0);
      const before = process.memoryUsage().rss;
      for (let i = 0; i < cycles; i++) await cycle();
      await until(() => drains() === 0 && grown() < 48 << 20);
      console.log(drains(), grown() < 48 << 20 ? 'flat' : 'grown by ' + grown());`;
    expect(run(program)).toEqual({ output: '0 flat\n', status: 0 });
  }, 130_000);

  it('of forgotten nodes go with them', () => {
    const program = `
      const open = async () => {
        for (let i = 0; i < 50; i++) {
          const node = await NetNode.create({ shards: 1 });
          node.fire('{"forgotten":true}');
          node.subscribe();
        }
        return drains();
      };
      const before = await open();
      await until(() => drains() === 0);
      console.log(before > 0, drains());`;
    expect(run(program)).toEqual({ output: 'true 0\n', status: 0 });
  });

  it('of a worker with a node of its own go when it is terminated in mid fire', () => {
    const program = `
      const source = \`
        const { parentPort, workerData } = require('node:worker_threads');
        require(workerData.entry).NetNode.create({ shards: 2, bufferCapacity: 1024 }).then((node) => {
          const next = node.subscribe({ fromNow: true })[Symbol.asyncIterator]().next();
          parentPort.postMessage('on');
          for (let i = 0; ; i++) node.fire('{"i":' + i + '}');
        });\`;
      for (let round = 0; round < ${soak ? 100 : 6}; round++) {
        const own = worker(source);
        await message(own);
        await own.terminate();
      }
      await until(() => drains() === 0);
      console.log(drains());`;
    expect(run(program)).toEqual({ output: '0\n', status: 0 });
  }, 130_000);
});

describe.runIf(hasAddon)('a process', () => {
  it('ends with a forgotten node and events that nobody reads', () => {
    const program = `
      for (let i = 0; i < 5; i++) (await NetNode.create()).fire('{}');
      console.log('done');`;
    for (const backend of ['addon', 'wasm']) expect(run(program, backend)).toEqual({ output: 'done\n', status: 0 });
  });

  it('can exit in mid fire, with workers that fire and wait', () => {
    const source = `
      const { parentPort, workerData } = require('node:worker_threads');
      const node = require(workerData.entry).NetNode.attach(workerData.handle);
      node.subscribe()[Symbol.asyncIterator]().next();
      parentPort.postMessage('on');
      for (let i = 0; ; i++) node.fire('{"i":' + i + '}');`;
    const program = `
      const node = await NetNode.create({ shards: 4 });
      node.subscribe()[Symbol.asyncIterator]().next();
      const workers = [1, 2].map(() => worker(${JSON.stringify(source)}, { handle: node.shareable() }));
      await Promise.all(workers.map(message));
      for (let i = 0; ; i++) {
        node.fire('{"i":' + i + '}');
        if (i === 100_000) process.exit(7);
      }`;
    for (let round = 0; round < (soak ? 50 : 3); round++) expect(run(program)).toEqual({ output: '', status: 7 });
  }, 300_000);

  it('ends when the owner shuts down while a worker waits for events, and the waiting loop ends', () => {
    const source = `
      const { parentPort, workerData } = require('node:worker_threads');
      // Nothing but the pending loop refers to the node.
      const read = async () => {
        for await (const event of require(workerData.entry).NetNode.attach(workerData.handle).subscribe()) {
          parentPort.postMessage(event.raw);
        }
        parentPort.postMessage('end');
      };
      read();
      setImmediate(() => { gc(); setImmediate(() => { gc(); parentPort.postMessage('waiting'); }); });`;
    const program = `
      const node = await NetNode.create({ shards: 1 });
      const reader = worker(${JSON.stringify(source)}, { handle: node.shareable() });
      const seen = [await message(reader)];
      for (const event of ['first', 'second']) {
        node.fire(event);
        seen.push(await message(reader));
      }
      const end = message(reader);
      await node.shutdown();
      seen.push(await end);
      console.log(seen.join(' '));`;
    expect(run(program)).toEqual({ output: 'waiting first second end\n', status: 0 });
  });
});
