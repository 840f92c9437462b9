// node scripts/fuzz.mjs [target] [seconds]: runs a fuzz target of native/fuzz with libFuzzer (all targets without a name).
// cargo-fuzz is not needed; where no nightly compiler is installed, RUSTC_BOOTSTRAP=1 lets the stable one take its flags.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { output, root, run, say } from './lib/shell.mjs';

const folder = join(root, 'native', 'fuzz');
const targets = [...readFileSync(join(folder, 'Cargo.toml'), 'utf8').matchAll(/\[\[bin\]\]\nname = "(\w+)"/g)].map(
  (m) => m[1],
);
const chosen = targets.includes(process.argv[2] ?? '') ? [process.argv[2]] : targets;
const seconds = Number(process.argv.at(-1)) || 30;
const host = output('rustc', ['-vV'])?.match(/host: (.*)/)?.[1];
const flags = [
  '--cfg fuzzing',
  '-Cpasses=sancov-module',
  '-Cllvm-args=-sanitizer-coverage-level=4',
  '-Cllvm-args=-sanitizer-coverage-inline-8bit-counters',
  '-Cllvm-args=-sanitizer-coverage-pc-table',
  '-Cllvm-args=-sanitizer-coverage-trace-compares',
  '-Zsanitizer=address',
  '-Ccodegen-units=1',
].join(' ');
const env = { RUSTC_BOOTSTRAP: '1', RUSTFLAGS: flags, CARGO_TARGET_DIR: join(root, 'target', 'fuzz') };
say(`building ${chosen.join(', ')} …`);
const bins = chosen.flatMap((name) => ['--bin', name]);
run('cargo', ['build', '--release', '--manifest-path', join(folder, 'Cargo.toml'), '--target', host, ...bins], { env });
for (const name of chosen) {
  const corpus = join(folder, 'corpus', name);
  mkdirSync(corpus, { recursive: true });
  mkdirSync(join(folder, 'artifacts', name), { recursive: true });
  // Seeds: one a paragraph.
  const seeds = join(folder, 'seeds', `${name}.txt`);
  const texts = existsSync(seeds) ? readFileSync(seeds, 'utf8').trimEnd().split('\n\n') : [];
  for (const [i, text] of texts.entries()) writeFileSync(join(corpus, `seed-${i}`), text);
  say(`${name}: ${seconds} s`);
  run(join(root, 'target', 'fuzz', host, 'release', name), [
    corpus,
    `-artifact_prefix=${join(folder, 'artifacts', name)}/`,
    `-max_total_time=${seconds}`,
    '-max_len=4096',
    '-verbosity=0',
    '-print_final_stats=1',
  ]);
}
