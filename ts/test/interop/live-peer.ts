import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { python } from './python.js';

const PROGRAM = `
import json, sys, threading, time
import net
scope = {"net": net, "time": time}
lock = threading.Lock()
def work(job):
    here = {"answer": None, "given": job.get("given")}
    try:
        exec(job["run"], scope, here)
        out = {"id": job["id"], "answer": here["answer"]}
    except BaseException as error:
        out = {"id": job["id"], "error": type(error).__name__ + ": " + str(error)}
    with lock:
        print(json.dumps(out), flush=True)
for line in sys.stdin:
    threading.Thread(target=work, args=(json.loads(line),), daemon=True).start()
`;

/** A process that runs code on request; several calls can be under way. */
class LiveProcess {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #last = 0;

  /** `netns`: network namespace to run in. */
  constructor(command: readonly string[], netns: string | undefined) {
    const [program = '', ...args] = netns === undefined ? command : ['ip', 'netns', 'exec', netns, ...command];
    this.#process = spawn(program, args, { stdio: ['pipe', 'pipe', 'ignore'] });
    createInterface({ input: this.#process.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      const { id, answer, error } = JSON.parse(line) as { id: number; answer: unknown; error?: string };
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(answer);
      else waiting?.reject(new Error(error));
    });
    this.#process.on('exit', () => {
      for (const waiting of this.#waiting.values()) waiting.reject(new Error('the peer ended'));
    });
  }

  /** Runs statements; the answer comes back. */
  run<T = unknown>(code: string, given: unknown = null): Promise<T> {
    const id = ++this.#last;
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#process.stdin?.write(`${JSON.stringify({ id, run: code, given })}\n`);
    });
  }

  /** Stops the process until {@link resume}: its socket fills up. */
  pause(): void {
    this.#process.kill('SIGSTOP');
  }

  /** Ends {@link pause}. */
  resume(): void {
    this.#process.kill('SIGCONT');
  }

  /** Kills the process. */
  kill(): void {
    this.#process.kill('SIGKILL');
  }
}

/** The published peer: Python, with `net`. Names set with `global` stay; what is assigned to `answer` comes back. */
export class LivePeer extends LiveProcess {
  constructor(netns?: string) {
    super([python, '-c', PROGRAM], netns);
  }
}

const OURS = `
const meshring = require(process.argv[1]);
const scope = {};
const AsyncFunction = (async () => {}).constructor;
require('node:readline').createInterface({ input: process.stdin }).on('line', async (line) => {
  const { id, run, given } = JSON.parse(line);
  try {
    const answer = await new AsyncFunction('meshring', 'scope', 'given', run)(meshring, scope, given);
    console.log(JSON.stringify({ id, answer: answer ?? null }));
  } catch (error) {
    console.log(JSON.stringify({ id, error: String(error) }));
  }
});
`;

/** A node of ours: JavaScript with `meshring` (the built mesh module) and `scope`, which stays; what is returned comes back. */
export class LiveNode extends LiveProcess {
  constructor(netns?: string) {
    super(
      [process.execPath, '-e', OURS, join(import.meta.dirname, '..', '..', '..', 'dist', 'mesh', 'index.js')],
      netns,
    );
  }
}
