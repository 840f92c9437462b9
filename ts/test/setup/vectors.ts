import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';

/** Vectors that are read in place and never committed: `../shared/vectors` beside the checkout, or `null` there. */
const IN_PLACE = [
  'blake3-official',
  'capabilities-capability_set_diff',
  'capabilities-capability_validation',
  'capabilities-placement_score',
  'capabilities-predicate_debug_report',
  'capabilities-predicate_debug_report_redacted',
  'capabilities-predicate_eval',
  'capabilities-predicate_nrpc_envelope',
  'capabilities-predicate_trace',
] as const;

declare module 'vitest' {
  export interface ProvidedContext {
    inPlaceVectors: Record<string, unknown>;
  }
}

export default function setup(project: TestProject): void {
  const folder = join(import.meta.dirname, '..', '..', '..', '..', 'shared', 'vectors');
  const vectors = Object.fromEntries(
    IN_PLACE.map((name) => {
      const file = join(folder, `${name}.json`);
      return [name, existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as unknown) : null];
    }),
  );
  project.provide('inPlaceVectors', vectors);
}
