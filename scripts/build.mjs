// npm run build: the addon (when Rust is there) and dist/.
import { setUp } from './lib/steps.mjs';

await setUp();
