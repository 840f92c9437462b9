/** Typed channels (module `channel`). */
export { TypedChannel } from './bus/channel.js';
