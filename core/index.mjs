export * from '../dist/core.mjs';
