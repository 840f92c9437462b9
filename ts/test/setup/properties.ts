/**
 * Property tests draw the same cases in every run, so that a result can be repeated anywhere; the long rounds
 * (MESHRING_SOAK) draw new ones each time and print the seed of a failure.
 */
import fc from 'fast-check';

const soak = typeof process !== 'undefined' && process.env?.MESHRING_SOAK;
if (!soak) fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: 0x6d65_7368 });
