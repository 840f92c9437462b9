// Content stamps: a step is skipped when the files it depends on have not changed since it last succeeded.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { root } from './shell.mjs';

const SKIPPED = new Set(['node_modules', 'target', 'dist', 'prebuilt', '.git', 'fuzz']);

function files(path) {
  const full = join(root, path);
  if (!existsSync(full)) return [];
  if (statSync(full).isFile()) return [full];
  return readdirSync(full, { withFileTypes: true })
    .filter((entry) => !SKIPPED.has(entry.name))
    .flatMap((entry) => files(relative(root, join(full, entry.name))));
}

/** SHA-256 over names and contents of all files below the given paths, without those below `except`. */
export function digest(paths, except = []) {
  const hash = createHash('sha256');
  const left = except.map((path) => join(root, path));
  const all = paths.flatMap(files).filter((file) => !left.some((path) => file.startsWith(path)));
  for (const file of all.sort()) {
    const bytes = readFileSync(file);
    hash.update(`${relative(root, file)}\0${bytes.length}\0`).update(bytes);
  }
  return hash.digest('hex');
}

/** Whether `outputs` exist and the stamp `name` holds `value`. */
export function fresh(name, value, outputs) {
  const path = join(root, '.cache', name);
  return (
    outputs.every((output) => existsSync(join(root, output))) &&
    existsSync(path) &&
    readFileSync(path, 'utf8') === value
  );
}

/** Remembers that step `name` succeeded for `value`. */
export function remember(name, value) {
  const path = join(root, '.cache', name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, value);
}
