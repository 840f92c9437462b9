/**
 * `meshring/marketrix`: services in different languages that find each other through Redis and speak directly over
 * HTTP/2 (docs/marketrix.md; protocol: docs/marketrix-protocol.md). Node only.
 */
export * from './marketrix/index.js';
