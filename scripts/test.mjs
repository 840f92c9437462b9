// npm test: sets up what is missing, then runs the TypeScript tests (addon, WASM, Chromium) and the Rust tests.
//
// node scripts/test.mjs [--soak] [--only ts|rust] [arguments of vitest]
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { bin, fail, output, root, run, say } from './lib/shell.mjs';
import { findCargo, setUp } from './lib/steps.mjs';
import { chromium, setUpPython } from './lib/tools.mjs';

const args = process.argv.slice(2);
const soak = take('--soak');
const only = args.includes('--only') ? args.splice(args.indexOf('--only'), 2)[1] : undefined;
const started = Date.now();

function take(flag) {
  const at = args.indexOf(flag);
  if (at >= 0) args.splice(at, 1);
  return at >= 0;
}

await setUp();
let failed = false;
const totals = { passed: 0, failed: 0, skipped: 0 };

if (only !== 'rust') {
  if (!chromium())
    say('Chromium is missing, its tests are skipped (Debian: apt-get install chromium; or set CHROMIUM to its path)');
  setUpPython();
  const report = join(root, '.cache', 'vitest.json');
  mkdirSync(join(root, '.cache'), { recursive: true });
  rmSync(report, { force: true });
  const code = run(
    bin('vitest'),
    ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`, ...args],
    {
      mayFail: true,
      env: soak ? { MESHRING_SOAK: '1' } : {},
    },
  );
  failed ||= code !== 0;
  if (existsSync(report)) count(JSON.parse(readFileSync(report, 'utf8')));
  // A host that is missing as a whole shows no skipped test of its own.
  if (!chromium()) totals.skipped += 1;
}
if (only !== 'ts' && args.length === 0) rustTests();

const seconds = Math.round((Date.now() - started) / 1000);
say(`tests took ${seconds} s`);
process.stdout.write(`\n${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped\n`);
if (process.env.CI && totals.skipped > 0)
  fail(`${totals.skipped} tests were skipped: in CI every test must run (reasons above)`);
process.exit(failed ? 1 : 0);

function count(report) {
  totals.passed += report.numPassedTests;
  totals.failed += report.numFailedTests;
  totals.skipped += report.numPendingTests + report.numTodoTests;
  for (const file of report.testResults) {
    for (const test of file.assertionResults) {
      if (test.status === 'pending' || test.status === 'skipped')
        say(`skipped: ${file.name.slice(root.length + 1)}: ${test.fullName}`);
    }
  }
}

function rustTests() {
  const { cargo, reason } = findCargo();
  if (!cargo) {
    say(`${reason}: the Rust tests are skipped`);
    totals.skipped += 1;
    return;
  }
  // The same cases in every run; the long rounds draw new ones.
  const env = soak ? { MESHRING_SOAK: '1' } : { PROPTEST_RNG_SEED: '1835365224' };
  const nextest = output(cargo, ['nextest', '--version']) !== undefined;
  const command = nextest
    ? ['nextest', 'run', '--locked', '-p', 'meshring', '--status-level', 'slow']
    : ['test', '--locked', '-p', 'meshring'];
  say(nextest ? 'Rust tests (nextest) …' : 'Rust tests …');
  const code = run(cargo, command, { mayFail: true, env });
  // Doc tests are not run by nextest.
  const doc = nextest ? run(cargo, ['test', '--locked', '--doc', '-p', 'meshring'], { mayFail: true, env }) : 0;
  failed ||= code !== 0 || doc !== 0;
  totals[code === 0 && doc === 0 ? 'passed' : 'failed'] += 1;
}
