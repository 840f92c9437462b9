// A worker that feeds a node of the main thread when told to.
import { workerData } from 'node:worker_threads';
import { NetNode } from 'meshring';
import { DISTINCT, texts } from './events.mjs';

const { handle, size, n, shared } = workerData;
const list = texts(size).map((text) => Buffer.from(text));
const node = NetNode.attach(handle);
Atomics.add(shared, 0, 1);
Atomics.wait(shared, 1, 0);
for (let i = 0; i < n; i++) node.emitBuffer(list[i & (DISTINCT - 1)]);
await node.shutdown();
