import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe } from 'vitest';
import { NodeStorage } from '../../src/redex/storage-node.js';
import { describeDiskFormat } from './vectors.js';

const root = mkdtempSync(join(tmpdir(), 'redex-vectors-'));
let count = 0;
const directory = () => join(root, String(++count));
const storage = new NodeStorage();

afterAll(() => rmSync(root, { recursive: true, force: true }));

describe('RedEX disk format, files through the addon', () => {
  describeDiskFormat({ storage, options: {}, directory });
});

describe('RedEX disk format, files through node:fs', () => {
  describeDiskFormat({ storage, options: { storage: new NodeStorage(false) }, directory });
});
