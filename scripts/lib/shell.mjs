// Running commands from the build scripts, with plain messages about what is missing.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Root of the checkout. */
export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** Prints one progress line. */
export function say(text) {
  process.stderr.write(`meshring: ${text}\n`);
}

/** Stops the script with a message that says what to do. */
export function fail(text) {
  process.stderr.write(`meshring: ${text}\n`);
  process.exit(1);
}

/** Runs a command with inherited output; stops the script when it fails, unless `mayFail`. Returns the exit code. */
export function run(command, args, { env, cwd = root, mayFail = false, quiet = false } = {}) {
  const done = spawnSync(command, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: quiet ? ['ignore', 'pipe', 'pipe'] : ['ignore', 'inherit', 'inherit'],
    encoding: 'utf8',
  });
  const code = done.error ? 127 : (done.status ?? 1);
  if (code !== 0 && !mayFail) {
    if (quiet) process.stderr.write(`${done.stdout ?? ''}${done.stderr ?? ''}`);
    fail(`\`${command} ${args.join(' ')}\` failed (${done.error ? done.error.message : `exit code ${code}`})`);
  }
  return code;
}

/** Standard output of a command, trimmed, or undefined when it cannot be run or fails. */
export function output(command, args, { env, cwd = root } = {}) {
  const done = spawnSync(command, args, { cwd, env: { ...process.env, ...env }, encoding: 'utf8' });
  return done.status === 0 ? done.stdout.trim() : undefined;
}

/** Path of a program on PATH (or in `extra` folders), or undefined. */
export function which(name, extra = []) {
  const folders = [...extra, ...(process.env.PATH ?? '').split(delimiter)];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

/** Path of a command installed by npm. */
export function bin(name) {
  return join(root, 'node_modules', '.bin', process.platform === 'win32' ? `${name}.cmd` : name);
}
