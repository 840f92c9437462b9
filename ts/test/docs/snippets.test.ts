/** Every program in README.md and docs/ runs against the built package. Blocks marked `no-run` are shown only. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { transform } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { noNats, noRedis, startNats, startRedis, type TestServer } from '../durable/servers.js';

const root = join(import.meta.dirname, '..', '..', '..');
const cache = join(root, '.cache');
mkdirSync(cache, { recursive: true });
// Inside the package, so that `meshring` means this package.
const folder = mkdtempSync(join(cache, 'snippets-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = promisify(execFile);

interface Snippet {
  readonly file: string;
  readonly line: number;
  readonly code: string;
}

function snippets(file: string): Snippet[] {
  const found: Snippet[] = [];
  const lines = readFileSync(join(root, file), 'utf8').split('\n');
  let open: { line: number; runs: boolean; code: string[] } | undefined;
  lines.forEach((text, i) => {
    const fence = /^```(\S*)\s*(.*)$/.exec(text);
    if (fence && !open) {
      const [, language = '', rest = ''] = fence;
      open = {
        line: i + 1,
        runs: /^(ts|js|typescript|javascript)$/.test(language) && !rest.includes('no-run'),
        code: [],
      };
    } else if (fence && open) {
      if (open.runs) found.push({ file, line: open.line, code: open.code.join('\n') });
      open = undefined;
    } else {
      open?.code.push(text);
    }
  });
  return found;
}

const files = [
  'README.md',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

/** Servers of their own for the programs that name one in their environment. */
const servers: TestServer[] = [];
const env: NodeJS.ProcessEnv = { ...process.env };
beforeAll(async () => {
  if (!noRedis) {
    const redis = await startRedis();
    servers.push(redis);
    env.REDIS_URL = `redis://127.0.0.1:${redis.port}`;
  }
  if (!noNats) {
    const nats = await startNats();
    servers.push(nats);
    env.NATS_URL = `nats://127.0.0.1:${nats.port}`;
  }
});
afterAll(() => Promise.all(servers.map((server) => server.stop())));

/** Why a program cannot run here. */
function missing({ code }: Snippet): string | undefined {
  return (code.includes('REDIS_URL') && noRedis) || (code.includes('NATS_URL') && noNats) || undefined;
}

describe.each(files)('%s', (file) => {
  const programs = snippets(file);
  if (programs.length === 0) {
    it('shows no program', () => expect(programs).toEqual([]));
    return;
  }
  for (const program of programs) {
    const reason = missing(program);
    const name = `line ${program.line} runs${reason ? ` (${reason})` : ''}`;
    (reason ? it.skip : it.concurrent)(name, { timeout: 90_000 }, async () => {
      const { code } = await transform(program.code, { loader: 'ts', format: 'esm', target: 'es2022' });
      const path = join(folder, `${file.replace(/\W/g, '-')}-${program.line}.mjs`);
      // A false console.assert only prints: here it ends the program.
      writeFileSync(
        path,
        `console.assert = (ok, ...text) => { if (!ok) throw new Error(text.join(' ') || 'assertion failed'); };\n${code}`,
      );
      await run(process.execPath, [path], { cwd: folder, timeout: 60_000, env });
    });
  }
});
