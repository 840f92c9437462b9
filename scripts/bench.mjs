// npm run bench: every bench against its alternatives, in one run. Options are passed on: --quick, --json, and names.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { root, run, say } from './lib/shell.mjs';
import { setUp } from './lib/steps.mjs';
import { setUpPython } from './lib/tools.mjs';

const options = process.argv.slice(2).filter((arg) => arg.startsWith('--'));
const names = process.argv.slice(2).filter((arg) => !arg.startsWith('--'));
await setUp();
setUpPython();
const all = readdirSync(join(root, 'bench')).filter((file) => file.endsWith('.bench.mjs'));
const chosen = names.length === 0 ? all : all.filter((file) => names.includes(file.replace('.bench.mjs', '')));
if (chosen.length === 0)
  say(`no such bench; there are: ${all.map((file) => file.replace('.bench.mjs', '')).join(', ')}`);
let failures = 0;
for (const file of chosen) {
  say(`bench ${file.replace('.bench.mjs', '')} …`);
  const code = run(process.execPath, ['--expose-gc', join(root, 'bench', file), ...options], { mayFail: true });
  if (code !== 0) failures += 1;
}
process.exit(failures > 0 || chosen.length === 0 ? 1 : 0);
