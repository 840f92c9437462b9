/** Event streams (module `stream`). */
export { EventStream, TypedEventStream } from './bus/stream.js';
