/** `meshring/bus`: the bus in the words of the quickstart (ours). */
export { Filter } from './bus/filter.js';
export * from './bus/quickstart.js';
