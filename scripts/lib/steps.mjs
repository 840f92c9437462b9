// The steps of a build, each skipped when nothing it depends on has changed.
import { copyFileSync, existsSync, mkdirSync, renameSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { buildDist } from './dist.mjs';
import { output, root, run, say, which } from './shell.mjs';
import { digest, fresh, remember } from './stamp.mjs';

/** Sources from which both doors to Rust are made. */
export const RUST_SOURCES = ['Cargo.toml', 'Cargo.lock', 'native/Cargo.toml', 'native/build.rs', 'native/src'];
/** Oldest Rust release that builds the addon. */
const MIN_RUST = [1, 89];

/** Installs the npm packages when package-lock.json or package.json changed. */
export function installPackages() {
  // The lock file names every dependency of package.json; the rest of that file changes nothing here.
  const value = digest(['package-lock.json']);
  if (fresh('npm', value, ['node_modules/esbuild/package.json'])) return;
  say('installing npm packages …');
  run('npm', ['ci', '--loglevel=error']);
  remember('npm', value);
}

/** Path of cargo, or undefined with the reason. */
export function findCargo() {
  const cargo = which('cargo', [join(homedir(), '.cargo', 'bin')]);
  if (!cargo) return { reason: 'Rust is not installed (https://rustup.rs)' };
  const version = output(cargo, ['--version'])?.match(/(\d+)\.(\d+)/);
  if (!version) return { reason: '`cargo --version` does not answer' };
  const [major, minor] = [Number(version[1]), Number(version[2])];
  if (major < MIN_RUST[0] || (major === MIN_RUST[0] && minor < MIN_RUST[1])) {
    return { reason: `Rust ${major}.${minor} is too old, ${MIN_RUST.join('.')} is needed (rustup update)` };
  }
  return { cargo };
}

/** File name of the addon for this platform. */
export function addonName() {
  const report = process.platform === 'linux' ? process.report.getReport() : undefined;
  const libc = process.platform !== 'linux' ? '' : report?.header?.glibcVersionRuntime ? '-gnu' : '-musl';
  const msvc = process.platform === 'win32' ? '-msvc' : '';
  return `meshring.${process.platform}-${process.arch}${libc}${msvc}.node`;
}

/** Builds the addon when Rust is there. Returns false, having said why, when WASM must serve. */
export function buildAddon() {
  const path = join('native', 'prebuilt', addonName());
  const { cargo, reason } = findCargo();
  if (!cargo) {
    if (existsSync(join(root, path))) return true;
    say(`${reason}: the addon is not built, the WebAssembly build serves (slower ingest, no native UDP)`);
    return false;
  }
  const value = digest(RUST_SOURCES);
  if (fresh('addon', value, [path])) return true;
  say('building the addon (the first time takes about a minute) …');
  const code = run(cargo, ['build', '--release', '--locked', '-p', 'meshring', '--features', 'addon'], {
    mayFail: true,
  });
  if (code !== 0) {
    say(
      'the addon could not be built (see above; a C compiler is needed: apt-get install build-essential); the WebAssembly build serves',
    );
    return false;
  }
  const target = process.env.CARGO_TARGET_DIR ?? join(root, 'target');
  const library = { darwin: 'libmeshring.dylib', win32: 'meshring.dll' }[process.platform] ?? 'libmeshring.so';
  mkdirSync(join(root, 'native', 'prebuilt'), { recursive: true });
  // Renamed into place: a process that has the old file mapped keeps it.
  const temporary = join(root, `${path}.${process.pid}.tmp`);
  copyFileSync(join(target, 'release', library), temporary);
  renameSync(temporary, join(root, path));
  remember('addon', value);
  return true;
}

/** Compiles ts/src into dist/ when it changed. */
export async function buildTypeScript() {
  const value = digest([
    'ts/src',
    'package.json',
    'tsconfig.json',
    'tsconfig.build.json',
    'scripts/lib/dist.mjs',
    'wasm/pkg',
  ]);
  if (fresh('dist', value, ['dist/index.js', 'dist/index.d.ts', 'dist/browser/index.js'])) return;
  say('compiling TypeScript …');
  await buildDist();
  remember('dist', value);
}

/** Everything that a user of a clone needs. */
export async function setUp() {
  installPackages();
  const native = buildAddon();
  await buildTypeScript();
  return { native };
}
