import type { LogStorage } from './storage.js';

const prepared = new Map<string, LogStorage>();

/** The storage that was opened for a directory, or null. */
export function preparedStorage(directory: string): LogStorage | null {
  return prepared.get(directory) ?? null;
}
