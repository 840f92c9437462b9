import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { build } from 'esbuild';
import { until } from './buses.js';

const root = join(import.meta.dirname, '..', '..', '..', '..');

/** Bundles a program that imports `meshring/zebus` with the sources here, so that it runs without a build. */
export async function bundle(program: string, folder = join(root, '.cache', 'zebus-programs')): Promise<string> {
  // Test files run side by side: each has its own copy.
  const outfile = join(folder, `${basename(program).replace(/\.\w+$/, '')}-${process.pid}.mjs`);
  mkdirSync(folder, { recursive: true });
  process.once('exit', () => rmSync(outfile, { force: true }));
  await build({
    absWorkingDir: root,
    entryPoints: [program],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'es2022',
    external: ['zeromq'],
    alias: { 'meshring/zebus': join(root, 'ts', 'src', 'zebus.ts') },
    banner: {
      js: "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);",
    },
    logLevel: 'warning',
  });
  return outfile;
}

/** A program of its own process, and the lines it has printed. */
export class Program {
  readonly lines: string[] = [];
  readonly errors: string[] = [];
  readonly process: ChildProcessWithoutNullStreams;
  readonly exit: Promise<number | null>;

  constructor(file: string, args: readonly string[] = [], env: Readonly<Record<string, string>> = {}) {
    this.process = spawn(process.execPath, [file, ...args], { cwd: root, env: { ...process.env, ...env } });
    collect(this.process.stdout, this.lines);
    collect(this.process.stderr, this.errors);
    this.exit = new Promise((resolve) => this.process.once('close', (code) => resolve(code)));
  }

  async printed(line: string | RegExp): Promise<string> {
    const find = (): string | undefined =>
      this.lines.find((each) => (typeof line === 'string' ? each === line : line.test(each)));
    await until(`${line} is printed, but ${this.lines} ${this.errors}`, () => find() !== undefined);
    return find() as string;
  }

  type(line: string): void {
    this.process.stdin.write(`${line}\n`);
  }

  kill(): void {
    this.process.kill('SIGKILL');
  }
}

function collect(stream: NodeJS.ReadableStream, lines: string[]): void {
  let rest = '';
  stream.on('data', (chunk: Buffer) => {
    const parts = (rest + chunk.toString()).split('\n');
    rest = parts.pop() ?? '';
    lines.push(...parts);
  });
  stream.on('end', () => {
    if (rest !== '') lines.push(rest);
  });
}
