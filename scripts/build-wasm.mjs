// npm run build:wasm: the committed artefacts in wasm/pkg. `--check` only says whether they are up to date.
//
// Needs wasm-pack, wasm-bindgen-cli of exactly the version in Cargo.lock, and a Rust with the target
// wasm32-unknown-unknown: rustup's, or a distribution's rustc with its library sources (then std is built here).
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fail, output, root, run, say, which } from './lib/shell.mjs';
import { digest } from './lib/stamp.mjs';
import { installPackages, RUST_SOURCES } from './lib/steps.mjs';

const pkg = join(root, 'wasm', 'pkg');
const stamp = join(pkg, 'SOURCES.sha256');
// What only the addon compiles cannot make the artefacts stale.
const value = digest([...RUST_SOURCES, 'wasm/Cargo.toml', 'wasm/src'], ['native/src/addon/', 'native/src/driver/']);

if (process.argv.includes('--check')) {
  const stored = existsSync(stamp) ? readFileSync(stamp, 'utf8').trim() : 'none';
  if (stored !== value)
    fail('wasm/pkg does not belong to these Rust sources: run `npm run build:wasm` and commit wasm/pkg');
  say('wasm/pkg is up to date');
  process.exit(0);
}

installPackages();
const cargoBin = join(process.env.CARGO_HOME ?? join(homedir(), '.cargo'), 'bin');
for (const tool of ['wasm-pack', 'wasm-bindgen']) {
  if (!which(tool, [cargoBin])) {
    const version = readFileSync(join(root, 'Cargo.lock'), 'utf8').match(
      /name = "wasm-bindgen"\nversion = "([^"]+)"/,
    )?.[1];
    fail(`${tool} is missing: cargo install wasm-pack; cargo install wasm-bindgen-cli --version ${version}`);
  }
}

const args = ['build', 'wasm', '--mode', 'no-install', '--release', '--no-opt', '--target', 'web'];
const flags = '-C target-feature=+simd128,+bulk-memory,+sign-ext,+nontrapping-fptoint -C panic=abort';
const rustup = which('rustup', [cargoBin]);
const hasTarget = output('rustup', ['target', 'list', '--installed'])?.includes('wasm32-unknown-unknown');
if (rustup && hasTarget) {
  run(which('wasm-pack', [cargoBin]), args, { env: { RUSTFLAGS: flags } });
} else {
  // A distribution's compiler: std is compiled from its sources.
  const linker = ['wasm-ld', 'wasm-ld-22', 'wasm-ld-19', 'wasm-ld-16'].find((name) => which(name));
  const sysroot = output('/usr/bin/rustc', ['--print', 'sysroot']);
  if (!sysroot || !linker || !existsSync(join(sysroot, 'lib', 'rustlib', 'src'))) {
    fail(
      'no Rust for wasm32: `rustup target add wasm32-unknown-unknown`, or on Debian `apt-get install rustc-web cargo-web rust-web-src lld-22`',
    );
  }
  // wasm-pack only looks whether this folder is there.
  mkdirSync(join(sysroot, 'lib', 'rustlib', 'wasm32-unknown-unknown', 'lib'), { recursive: true });
  run(join(cargoBin, 'wasm-pack'), [...args, '--', '-Zbuild-std=std,panic_abort'], {
    env: {
      PATH: ['/usr/bin', '/bin', cargoBin].join(':'),
      RUSTC_BOOTSTRAP: '1',
      RUSTFLAGS: flags,
      CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER: linker,
      CARGO_TARGET_DIR: join(root, 'target', 'wasm'),
    },
  });
}

// wasm-pack's own .gitignore and package.json would keep the artefacts out of commits and tarballs.
for (const name of ['.gitignore', 'package.json', 'README.md', 'LICENSE']) rmSync(join(pkg, name), { force: true });
const wasm = join(pkg, 'meshring_wasm_bg.wasm');
say('optimising with wasm-opt …');
run(process.execPath, [
  join(root, 'node_modules', 'binaryen', 'bin', 'wasm-opt'),
  '-O3',
  ...[
    'simd',
    'bulk-memory',
    'bulk-memory-opt',
    'sign-ext',
    'nontrapping-float-to-int',
    'mutable-globals',
    'reference-types',
    'multivalue',
  ].map((feature) => `--enable-${feature}`),
  wasm,
  '-o',
  wasm,
]);
// The same glue for `require`.
const { build } = await import('esbuild');
await build({
  entryPoints: [join(pkg, 'meshring_wasm.js')],
  outfile: join(pkg, 'meshring_wasm.cjs'),
  format: 'cjs',
  target: 'es2022',
  logLevel: 'error',
  define: { 'import.meta.url': '""' },
});
writeFileSync(stamp, `${value}\n`);
say('wasm/pkg is new');
