export * from './zebus/index.js';
