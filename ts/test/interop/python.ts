import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Python of the environment that the test set-up makes, with the published peer installed. */
export const python = join(import.meta.dirname, '..', '..', '..', '.cache', 'venv', 'bin', 'python');

/** Whether the published peer can be run; the reason for a skip otherwise. */
export const peerMissing = existsSync(python) ? undefined : 'no .cache/venv: run `npm test` once to set it up';

/** Runs a script of the peer: `input` arrives as the JSON value `given`; what the script assigns to `answer` comes back. */
export function runPeer<T>(script: string, input: unknown): T {
  const program = `import json, sys\ngiven = json.load(sys.stdin)\n${script}\njson.dump(answer, sys.stdout)\n`;
  const done = spawnSync(python, ['-c', program], { input: JSON.stringify(input), encoding: 'utf8', timeout: 60_000 });
  if (done.status !== 0) throw new Error(`the peer's script failed (${done.status ?? done.signal}): ${done.stderr}`);
  return JSON.parse(done.stdout) as T;
}
