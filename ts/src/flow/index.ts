/** Waiting in proportion: back-off between attempts, and queues that hold back their producer. */
export { Backoff, type BackoffOptions, type DelayOptions, delay } from './backoff.js';
export { BoundedQueue, type BoundedQueueOptions } from './bounded-queue.js';
