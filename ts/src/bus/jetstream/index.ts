/** NATS JetStream (11 §5). */
export { jetStreamSettings, natsTargets } from './options.js';
export { JetStreamTransport } from './transport.js';
