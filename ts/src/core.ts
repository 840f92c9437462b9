/** `meshring/core`: the lower-level names. */
export * from './core/capabilities.js';
export * from './core/identity.js';
