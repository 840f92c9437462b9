// npm run lint: formatting, lint and types of TypeScript and Rust. `--fix` writes what can be mended.
import { bin, run, say } from './lib/shell.mjs';
import { findCargo, installPackages } from './lib/steps.mjs';

const fix = process.argv.includes('--fix');
installPackages();
say('biome …');
run(bin('biome'), fix ? ['check', '--write'] : ['check']);
say('tsc …');
run(bin('tsc'), ['-p', 'tsconfig.json']);
const { cargo, reason } = findCargo();
if (!cargo) {
  say(`${reason}: Rust is not checked`);
} else {
  say('cargo fmt, clippy …');
  run(cargo, fix ? ['fmt', '--all'] : ['fmt', '--all', '--check']);
  run(cargo, [
    'clippy',
    '--locked',
    '--workspace',
    '--all-targets',
    '--features',
    'meshring/addon',
    '--',
    '-D',
    'warnings',
  ]);
}
