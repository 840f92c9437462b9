// Rows of a bench: median of several rounds, spread, ratio to an alternative of the same run.
import { parseArgs } from 'node:util';

export const { values: flags } = parseArgs({
  options: { quick: { type: 'boolean' }, json: { type: 'boolean' } },
  strict: false,
});
export const rounds = flags.quick ? 3 : 5;

const rows = [];
export const say = (text) => flags.json || process.stdout.write(`${text}\n`);

/** Runs `rounds` times each of `ways` in turn, so that a noisy moment hits all alike. Rates in events per second. */
export async function compare(ways) {
  const rates = new Map(Object.keys(ways).map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [name, way] of Object.entries(ways)) rates.get(name).push(await way(round));
  }
  return Object.fromEntries([...rates].map(([name, list]) => [name, summary(list)]));
}

function summary(list) {
  const sorted = [...list].sort((a, b) => a - b);
  return { median: sorted[sorted.length >> 1], min: sorted[0], max: sorted.at(-1) };
}

/** One line. `than`: [summary, name]; `target`: least ratio. */
export function row(name, { median, min, max }, { than, target } = {}) {
  const ratio = than?.[0] && median / than[0].median;
  const holds = target === undefined || ratio === undefined ? undefined : ratio >= target;
  rows.push({ name, unit: 'events/s', value: median, min, max, ...(ratio && { ratio, of: than[1], target, holds }) });
  const rate = `${(median / 1000).toFixed(0)} k/s`;
  const spread = `(${(min / 1000).toFixed(0)}–${(max / 1000).toFixed(0)})`;
  const against = ratio ? `${ratio.toFixed(2)}× ${than[1]}` : '';
  const verdict = holds === undefined ? '' : `≥ ${target}: ${holds ? 'yes' : 'NO'}`;
  say(`  ${name.padEnd(44)} ${rate.padStart(9)} ${spread.padEnd(14)} ${against.padEnd(32)} ${verdict}`);
}

/** A line of another kind. */
export function note(name, value, unit, text = '') {
  rows.push({ name, value, unit });
  say(`  ${name.padEnd(44)} ${String(value).padStart(9)} ${unit} ${text}`);
}

export function end() {
  if (flags.json) process.stdout.write(`${JSON.stringify(rows)}\n`);
}
