import { type ChildProcess, spawn } from 'node:child_process';
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

/** The published peer in a process of its own; several calls can be under way. */
export class LivePeer {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #last = 0;

  constructor() {
    this.#process = spawn(python, ['-c', PROGRAM], { stdio: ['pipe', 'pipe', 'ignore'] });
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

  /** Runs Python statements; names set with `global` stay. What they assign to `answer` comes back. */
  run<T = unknown>(code: string, given: unknown = null): Promise<T> {
    const id = ++this.#last;
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#process.stdin?.write(`${JSON.stringify({ id, run: code, given })}\n`);
    });
  }

  /** Kills the process. */
  kill(): void {
    this.#process.kill('SIGKILL');
  }
}
