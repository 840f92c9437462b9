// npm run demo: sets up what is missing, then runs samples/flights.mjs, the main job on real data.
import { join } from 'node:path';
import { root, run } from './lib/shell.mjs';
import { setUp } from './lib/steps.mjs';

await setUp();
process.exit(
  run(process.execPath, [join(root, 'samples', 'flights.mjs'), ...process.argv.slice(2)], { mayFail: true }),
);
