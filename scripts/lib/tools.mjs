// Programs that only tests and benches need.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { output, root, run, say, which } from './shell.mjs';
import { digest, fresh, remember } from './stamp.mjs';

/** Path of Chromium, or undefined. */
export function chromium() {
  const path = process.env.CHROMIUM ?? '/usr/bin/chromium';
  return existsSync(path) ? path : undefined;
}

/** Makes .cache/venv with the Python packages of the tests; says what is missing. Returns its interpreter. */
export function setUpPython() {
  const requirements = 'ts/test/setup/requirements.txt';
  const interpreter = join('.cache', 'venv', 'bin', 'python');
  const value = digest([requirements]);
  if (fresh('python', value, [interpreter])) return join(root, interpreter);
  const python = ['python3.12', 'python3.11', 'python3.10', 'python3'].find(
    (name) => which(name) && output(name, ['-c', 'import venv, ensurepip']) !== undefined,
  );
  if (!python) {
    say(
      'Python 3 with venv is missing, the tests against the published peer are skipped (Debian: apt-get install python3 python3-venv)',
    );
    return undefined;
  }
  say('installing the Python packages of the tests …');
  const made = run(python, ['-m', 'venv', '.cache/venv'], { mayFail: true });
  const installed =
    made === 0
      ? run(interpreter, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', requirements], {
          mayFail: true,
        })
      : made;
  if (installed !== 0) {
    say('the Python packages could not be installed (see above): the tests against the published peer are skipped');
    return undefined;
  }
  remember('python', value);
  return join(root, interpreter);
}
