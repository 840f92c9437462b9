// dist/: CommonJS and declarations for Node with thin ESM doors onto the same files (so that `instanceof` and
// handles agree whichever way the package is loaded), and an ESM build for browsers.
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { bin, root, run } from './shell.mjs';

const source = join(root, 'ts', 'src');
const dist = join(root, 'dist');

/**
 * Source modules that are public: every entry of the exports map, without extension and `./dist/`. `browser`: only
 * those with a `browser` condition; an entry without one needs sockets or files that only Node has.
 */
export function publicModules({ browser = false } = {}) {
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const files = Object.values(exports).flatMap((target) =>
    typeof target === 'object' && (!browser || target.browser) ? [target.require.default] : [],
  );
  return [...new Set(files.map((file) => file.replace(/^\.\/dist\//, '').replace(/\.js$/, '')))];
}

function sources(folder = '') {
  return readdirSync(join(source, folder), { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory()
      ? sources(join(folder, entry.name))
      : entry.name.endsWith('.ts')
        ? [join(folder, entry.name)]
        : [],
  );
}

/** Rebuilds dist/ from nothing. */
export async function buildDist() {
  const { build } = await import('esbuild');
  rmSync(dist, { recursive: true, force: true });
  mkdirSync(dist, { recursive: true });
  writeFileSync(join(dist, 'package.json'), '{ "type": "commonjs" }\n');
  const common = { target: 'es2022', logLevel: 'warning', absWorkingDir: root };

  const files = sources().filter((file) => !file.endsWith('.d.ts') && !file.includes('browser.ts'));
  await build({
    ...common,
    entryPoints: files.map((file) => join(source, file)),
    outbase: source,
    outdir: dist,
    format: 'cjs',
    platform: 'node',
  });
  // ESM-only dependencies are bundled, so that `require` works on every supported Node.
  await build({
    ...common,
    entryPoints: [join(source, 'vendor', 'noble.ts')],
    outfile: join(dist, 'vendor', 'noble.js'),
    bundle: true,
    format: 'cjs',
    platform: 'node',
    allowOverwrite: true,
  });

  const modules = publicModules();
  await build({
    ...common,
    entryPoints: publicModules({ browser: true }).map((name) => join(source, `${name}.ts`)),
    outbase: source,
    outdir: join(dist, 'browser'),
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'browser',
    chunkNames: 'chunk-[hash]',
    plugins: [browserPlatform],
  });
  copyFileSync(join(root, 'wasm', 'pkg', 'meshring_wasm_bg.wasm'), join(dist, 'browser', 'meshring_wasm_bg.wasm'));

  run(bin('tsc'), ['-p', 'tsconfig.build.json']);
  writeEsmDoors(modules);
}

/** Replaces the Node platform module by the browser's, and leaves out what only servers have. */
const browserPlatform = {
  name: 'browser-platform',
  setup(build) {
    build.onResolve({ filter: /platform\/node\.js$/ }, () => ({ path: join(source, 'platform', 'browser.ts') }));
  },
};

function writeEsmDoors(modules) {
  const require = createRequire(join(dist, 'index.js'));
  for (const name of modules) {
    const file = `./${name.split('/').pop()}.js`;
    const names = Object.keys(require(join(dist, `${name}.js`))).filter(
      (key) => key !== 'default' && key !== '__esModule',
    );
    const text = [
      `import door from '${file}';`,
      ...names.sort().map((key) => `export const ${key} = door.${key};`),
      '',
    ];
    writeFileSync(join(dist, `${name}.mjs`), names.length > 0 ? text.join('\n') : `import '${file}';\n`);
    writeFileSync(join(dist, `${name}.d.mts`), `export * from '${file}';\n`);
  }
}
