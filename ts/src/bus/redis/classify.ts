/** What an error reply of Redis means for the batch that caused it (11 §4.2). */
import { TransportError } from '../transport.js';

/** Codes after which the same batch may succeed later. */
const TRANSIENT = new Set([
  'LOADING',
  'BUSY',
  'MOVED',
  'ASK',
  'TRYAGAIN',
  'CLUSTERDOWN',
  'MASTERDOWN',
  'READONLY',
  'NOREPLICAS',
  'OOM',
  'NOTBUSY',
  'UNKILLABLE',
]);

/** First word of an error text, without the dash that some versions put in front inside scripts. */
export function errorCode(text: string): string {
  return /^-?([A-Z]+)\b/.exec(text)?.[1] ?? '';
}

/** The failure that stands for an error reply. */
export function classify(text: string, stored = 0): TransportError {
  const clean = text.replace(/^-/, '');
  const retry = TRANSIENT.has(errorCode(clean)) || /max number of clients reached/i.test(clean);
  return new TransportError(retry ? 'transient' : 'fatal', clean, { stored });
}

/** Whether a reply says that scripts may not be used here: by ACL, renamed or unknown command. */
export function scriptsRefused(text: string): boolean {
  return errorCode(text) === 'NOPERM' || /unknown command|unknown redis command/i.test(text);
}
