import type { BusEvents } from './bus-api.js';

type Listener = (payload: never) => void;

/** Listeners of a bus. A listener that throws disturbs neither the bus nor the others. */
export class Listeners {
  private readonly byEvent = new Map<keyof BusEvents, Set<Listener>>();

  on<E extends keyof BusEvents>(event: E, listener: (payload: BusEvents[E]) => void): () => void {
    let set = this.byEvent.get(event);
    if (set === undefined) {
      set = new Set();
      this.byEvent.set(event, set);
    }
    const own: Listener = (payload) => listener(payload);
    set.add(own);
    return () => set.delete(own);
  }

  has(event: keyof BusEvents): boolean {
    return (this.byEvent.get(event)?.size ?? 0) > 0;
  }

  emit<E extends keyof BusEvents>(event: E, payload: BusEvents[E]): void {
    const set = this.byEvent.get(event);
    if (set === undefined) return;
    for (const listener of [...set]) {
      try {
        listener(payload as never);
      } catch (error) {
        process.emitWarning(`a listener of "${event}" threw: ${String(error)}`, 'ZebusWarning');
      }
    }
  }
}
