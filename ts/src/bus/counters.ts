/** Counters of a node as `stats()` gives them (10 §3.6). */
import { CounterNames, type RawBus } from '../backend/bus.js';
import type { Stats } from '../types.js';

/** What Rust has counted; a retained log counts what it let go as well. */
export function countersOf(raw: RawBus, log: boolean): Stats {
  const values = raw.counters();
  const counter = (name: (typeof CounterNames)[number]) => values[CounterNames.indexOf(name)] as bigint;
  const [rejected, evicted, failed] = [counter('rejected'), counter('evicted'), counter('failed')];
  return {
    eventsIngested: counter('ingested'),
    eventsDropped: rejected + evicted + failed,
    eventsRejected: rejected,
    eventsEvicted: evicted,
    eventsFailed: failed,
    eventsDispatched: counter('dispatched'),
    batchesDispatched: counter('batches'),
    eventsPending: counter('pending'),
    ...(log ? { eventsExpired: counter('expired') } : {}),
  };
}
