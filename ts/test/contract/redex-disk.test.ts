import { describe } from 'vitest';
import { MemoryStorage } from '../../src/redex/index.js';
import { describeDiskFormat } from '../redex/vectors.js';

describe('RedEX disk format, kept in memory', () => {
  const storage = new MemoryStorage();
  let count = 0;
  describeDiskFormat({ storage, options: { storage }, directory: () => `/logs-${++count}` });
});
