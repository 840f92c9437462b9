/** What people see: tables, and a line that shows progress. */

/** A table with columns as wide as needed; numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly (string | number | bigint)[])[]): string {
  const cells = rows.map((row) => row.map((cell) => (typeof cell === 'string' ? cell : grouped(cell))));
  const widths = head.map((title, i) => Math.max(title.length, ...cells.map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[], source: readonly unknown[]) =>
    row
      .map((cell, i) => (typeof source[i] === 'string' ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join('  ')
      .trimEnd();
  return [line(head, rows[0] ?? head), ...cells.map((row, i) => line(row, rows[i] ?? []))]
    .map((text) => `${text}\n`)
    .join('');
}

/** Two columns without a head. */
export function pairs(rows: readonly (readonly [string, string | number | bigint])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows
    .map(([name, value]) => `${name.padEnd(width)}  ${typeof value === 'string' ? value : grouped(value)}\n`)
    .join('');
}

/** A number with its digits in groups of three. */
export function grouped(value: number | bigint): string {
  const [whole = '', fraction] = String(value).split('.');
  const text = whole.replace(/\B(?=(\d{3})+$)/g, ',');
  return fraction === undefined ? text : `${text}.${fraction}`;
}

const WIDTH = 24;
const INTERVAL_MS = 100;

/** One line on standard error that is written anew; nothing where that is no terminal. */
export class ProgressLine {
  readonly #shown = process.stderr.isTTY === true;
  readonly #began = performance.now();
  readonly #what: string;
  #last = 0;

  /** @param what is counted */
  constructor(what = 'events') {
    this.#what = what;
  }

  /** @param part done so far, 0 to 1; undefined when the whole is not known */
  update(count: number, part: number | undefined): void {
    const now = performance.now();
    if (!this.#shown || now - this.#last < INTERVAL_MS) return;
    this.#last = now;
    const rate = count / Math.max(0.001, (now - this.#began) / 1000);
    const filled = part === undefined ? 0 : Math.round(WIDTH * Math.min(1, part));
    const bar =
      part === undefined ? '' : `[${'#'.repeat(filled)}${'.'.repeat(WIDTH - filled)}] ${Math.floor(100 * part)} % `;
    process.stderr.write(`\r\u001b[K${bar}${grouped(count)} ${this.#what}, ${grouped(Math.round(rate))}/s`);
  }

  /** Takes the line away. */
  end(): void {
    if (this.#shown) process.stderr.write('\r\u001b[K');
  }
}

/** Text that is gathered before it is written. */
const GATHERED = 64 * 1024;

/** Lines for standard output: written in large pieces, and no faster than the reader takes them. */
export class Lines {
  #text = '';

  /** Takes a line. */
  add(line: string): void {
    this.#text += `${line}\n`;
  }

  /** Whether it is time to flush. */
  get full(): boolean {
    return this.#text.length >= GATHERED;
  }

  /** Writes what was gathered; resolves when the reader has room for more. */
  async flush(): Promise<void> {
    const text = this.#text;
    this.#text = '';
    if (text === '' || process.stdout.write(text)) return;
    await new Promise<void>((drained) => process.stdout.once('drain', drained));
  }
}
