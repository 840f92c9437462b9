/** `meshring/core`: the lower-level names. */
export * from './core/identity.js';
