"use strict";
var __defProp = Object.defineProperty;
var __getOwnPropDesc = Object.getOwnPropertyDescriptor;
var __getOwnPropNames = Object.getOwnPropertyNames;
var __hasOwnProp = Object.prototype.hasOwnProperty;
var __export = (target, all) => {
  for (var name in all)
    __defProp(target, name, { get: all[name], enumerable: true });
};
var __copyProps = (to, from, except, desc) => {
  if (from && typeof from === "object" || typeof from === "function") {
    for (let key of __getOwnPropNames(from))
      if (!__hasOwnProp.call(to, key) && key !== except)
        __defProp(to, key, { get: () => from[key], enumerable: !(desc = __getOwnPropDesc(from, key)) || desc.enumerable });
  }
  return to;
};
var __toCommonJS = (mod) => __copyProps(__defProp({}, "__esModule", { value: true }), mod);
var meshring_wasm_exports = {};
__export(meshring_wasm_exports, {
  Blake3: () => Blake3,
  Bus: () => Bus,
  Filter: () => Filter,
  LogVerifier: () => LogVerifier,
  RawBatch: () => RawBatch,
  RawLog: () => RawLog,
  RawMesh: () => RawMesh,
  crc32c: () => crc32c,
  default: () => __wbg_init,
  ed25519PublicKey: () => ed25519PublicKey,
  ed25519Sign: () => ed25519Sign,
  ed25519Verify: () => ed25519Verify,
  initSync: () => initSync,
  isJson: () => isJson,
  journalEntry: () => journalEntry,
  logArea: () => logArea,
  logChecksum: () => logChecksum,
  logManifest: () => logManifest,
  logReadManifest: () => logReadManifest,
  logRecord: () => logRecord,
  logVerifier: () => logVerifier,
  natsPage: () => natsPage,
  natsRecords: () => natsRecords,
  openLogMemory: () => openLogMemory,
  openLogStorage: () => openLogStorage,
  redisPage: () => redisPage,
  redisRecords: () => redisRecords,
  xxh3: () => xxh3
});
module.exports = __toCommonJS(meshring_wasm_exports);
class Blake3 {
  __destroy_into_raw() {
    const ptr = this.__wbg_ptr;
    this.__wbg_ptr = 0;
    Blake3Finalization.unregister(this);
    return ptr;
  }
  free() {
    const ptr = this.__destroy_into_raw();
    wasm.__wbg_blake3_free(ptr, 0);
  }
  /**
   * `length` bytes of output; the state can be updated further.
   * @param {number} length
   * @returns {Uint8Array}
   */
  digest(length) {
    const ret = wasm.blake3_digest(this.__wbg_ptr, length);
    if (ret[3]) {
      throw takeFromExternrefTable0(ret[2]);
    }
    var v1 = getArrayU8FromWasm0(ret[0], ret[1]).slice();
    wasm.__wbindgen_free(ret[0], ret[1] * 1, 1);
    return v1;
  }
  /**
   * See the class.
   * @param {number} mode
   * @param {Uint8Array | number[] | null} [key]
   */
  constructor(mode, key) {
    const val2 = +mode;
    var ptr0 = isLikeNone(key) ? 0 : passArray8ToWasm0(key, wasm.__wbindgen_malloc);
    var len0 = WASM_VECTOR_LEN;
    const ret = wasm.blake3_new(val2, ptr0, len0);
    if (ret[2]) {
      throw takeFromExternrefTable0(ret[1]);
    }
    this.__wbg_ptr = ret[0];
    Blake3Finalization.register(this, this.__wbg_ptr, this);
    return this;
  }
  /**
   * Adds bytes.
   * @param {Uint8Array | number[]} bytes
   */
  update(bytes) {
    const ptr0 = passArray8ToWasm0(bytes, wasm.__wbindgen_malloc);
    const len0 = WASM_VECTOR_LEN;
    wasm.blake3_update(this.__wbg_ptr, ptr0, len0);
  }
}
if (Symbol.dispose) Blake3.prototype[Symbol.dispose] = Blake3.prototype.free;
class Bus {
  __destroy_into_raw() {
    const ptr = this.__wbg_ptr;
    this.__wbg_ptr = 0;
    BusFinalization.unregister(this);
    return ptr;
  }
  free() {
    const ptr = this.__destroy_into_raw();
    wasm.__wbg_bus_free(ptr, 0);
  }
  /**
   * Number of the newest event of each shard that was confirmed or given up, with all before it.
   * @returns {Float64Array}
   */
  acknowledged() {
    const ret = wasm.bus_acknowledged(this.__wbg_ptr);
    var v1 = getArrayF64FromWasm0(ret[0], ret[1]).slice();
    wasm.__wbindgen_free(ret[0], ret[1] * 8, 8);
    return v1;
  }
  /**
   * Refuses further events and takes what was staged.
   */
  close() {
    wasm.bus_close(this.__wbg_ptr);
  }
  /**
   * Counters in the order of `CounterNames` in `ts/src/backend/bus.ts`.
   * @returns {BigUint64Array}
   */
  counters() {
    const ret = wasm.bus_counters(this.__wbg_ptr);
    var v1 = getArrayU64FromWasm0(ret[0], ret[1]).slice();
    wasm.__wbindgen_free(ret[0], ret[1] * 8, 8);
    return v1;
  }
  /**
   * Takes everything that was staged and answers in the ring's header.
   */
  drain() {
    wasm.bus_drain(this.__wbg_ptr);
  }
  /**
   * First the time in ns after which the next batch is due (-1: none), then the shards whose batch is due now.
   * @returns {Float64Array}
   */
  due() {
    const ret = wasm.bus_due(this.__wbg_ptr);
    var v1 = getArrayF64FromWasm0(ret[0], ret[1]).slice();
    wasm.__wbindgen_free(ret[0], ret[1] * 8, 8);
    return v1;
  }
  /**
   * The transport is done with the batch of a shard: `stored` events are stored, the rest is given up.
   * @param {number} shard
   * @param {number} stored
   */
  finishBatch(shard, stored) {
    wasm.bus_finishBatch(this.__wbg_ptr, shard, stored);
  }
  /**
   * Gives up every queued event; returns how many.
   * @returns {number}
   */
  giveUp() {
    const ret = wasm.bus_giveUp(this.__wbg_ptr);
    return ret;
  }
  /**
   * The latest time stamp given: no later event has a smaller one.
   * @returns {bigint}
   */
  lastStamp() {
    const ret = wasm.bus_lastStamp(this.__wbg_ptr);
    return BigInt.asUintN(64, ret);
  }
  /**
   * A node of its own; other threads cannot attach.
   * @param {Float64Array | number[]} settings
   */
  constructor(settings) {
    const ptr0 = passArrayF64ToWasm0(settings, wasm.__wbindgen_malloc);
    const len0 = WASM_VECTOR_LEN;
    const ret = wasm.bus_new(ptr0, len0);
    if (ret[2]) {
      throw takeFromExternrefTable0(ret[1]);
    }
    this.__wbg_ptr = ret[0];
    BusFinalization.register(this, this.__wbg_ptr, this);
    return this;
  }
  /**
   * Stores inbound packets as `RawMesh.takeDeliveries` gives them: the shard is the stream id modulo the number of shards.
   * @param {Uint8Array | number[]} batch
   */
  placePackets(batch) {
    const ptr0 = passArray8ToWasm0(batch, wasm.__wbindgen_malloc);
    const len0 = WASM_VECTOR_LEN;
    wasm.bus_placePackets(this.__wbg_ptr, ptr0, len0);
  }
  /**
   * Stores inbound events of a shard: `ends` are the end offsets of the events in `data`.
   * @param {number} shard
   * @param {Uint8Array | number[]} data
   * @param {Uint32Array | number[]} ends
   */
  place(shard, data, ends) {
    const val3 = +shard;
    let ptr0, len0, ptr1, len1;
    try {
      ptr0 = passArray8ToWasm0(data, wasm.__wbindgen_malloc);
      len0 = WASM_VECTOR_LEN;
      ptr1 = passArray32ToWasm0(ends, wasm.__wbindgen_malloc);
      len1 = WASM_VECTOR_LEN;
    } catch (e) {
      if (ptr1) {
        wasm.__wbindgen_free(ptr1, len1 * 4, 4);
      }
      if (ptr0) {
        wasm.__wbindgen_free(ptr0, len0 * 1, 1);
      }
      throw e;
    }
    wasm.bus_place(this.__wbg_ptr, val3, ptr0, len0, ptr1, len1);
  }
  /**
   * Numbers of the oldest retained and of the newest event of each shard, alternating.
   * @returns {Float64Array}
   */
  positions() {
    const ret = wasm.bus_positions(this.__wbg_ptr);
    var v1 = getArrayF64FromWasm0(ret[0], ret[1]).slice();
    wasm.__wbindgen_free(ret[0], ret[1] * 8, 8);
    return v1;
  }
  /**
   * Stores an event which is too large for the ring; the answer is in the ring's header.
   * @param {Uint8Array | number[]} raw
   * @param {bigint | null} [hash]
   */
  push(raw, hash) {
    const val2 = BigInt.asIntN(64, isLikeNone(hash) ? BigInt(0) : hash);
    const ptr0 = passArray8ToWasm0(raw, wasm.__wbindgen_malloc);
    const len0 = WASM_VECTOR_LEN;
    wasm.bus_push(this.__wbg_ptr, ptr0, len0, !isLikeNone(hash), val2);
  }
  /**
   * As `read`, only events that match.
   * @param {number} shard
   * @param {number} after
   * @param {number} limit
   * @param {number} max_bytes
   * @param {number} max_scan
   * @param {Filter} filter
   * @returns {Uint8Array}
   */
  readFiltered(shard, after, limit, max_bytes, max_scan, filter) {
    _assertClass(filter, Filter);
    const ret = wasm.bus_readFiltered(this.__wbg_ptr, shard, after, limit, max_bytes, max_scan, filter.__wbg_ptr);
    var v1 = getArrayU8FromWasm0(ret[0], ret[1]).slice();
    wasm.__wbindgen_free(ret[0], ret[1] * 1, 1);
    return v1;
  }
  /**
   * A page of a shard's log; layout in `native/src/bus/page.rs`.
   * @param {number} shard
   * @param {number} after
   * @param {number} limit
   * @param {number} max_bytes
   * @param {number} max_scan
   * @returns {Uint8Array}
   */
  read(shard, after, limit, max_bytes, max_scan) {
    const ret = wasm.bus_read(this.__wbg_ptr, shard, after, limit, max_bytes, max_scan);
    var v1 = getArrayU8FromWasm0(ret[0], ret[1]).slice();
    wasm.__wbindgen_free(ret[0], ret[1] * 1, 1);
    return v1;
  }
  /**
   * Length of the staging ring, header included.
   * @returns {number}
   */
  ringLength() {
    const ret = wasm.bus_ringLength(this.__wbg_ptr);
    return ret >>> 0;
  }
  /**
   * Address of the staging ring in the module's memory.
   * @returns {number}
   */
  ringPointer() {
    const ret = wasm.bus_ringPointer(this.__wbg_ptr);
    return ret >>> 0;
  }
  /**
   * Number of shards, and whether they are queues.
   * @returns {Uint32Array}
   */
  shape() {
    const ret = wasm.bus_shape(this.__wbg_ptr);
    var v1 = getArrayU32FromWasm0(ret[0], ret[1]).slice();
    wasm.__wbindgen_free(ret[0], ret[1] * 4, 4);
    return v1;
  }
  /**
   * Lets the numbering of a shard's batches start higher.
   * @param {number} shard
   * @param {bigint} sequence
   */
  startSequence(shard, sequence) {
    wasm.bus_startSequence(this.__wbg_ptr, shard, sequence);
  }
  /**
   * As `drain`.
   */
  sweep() {
    wasm.bus_sweep(this.__wbg_ptr);
  }
  /**
   * Whether a batch became worth looking at since the last call.
   * @returns {boolean}
   */
  takeAttention() {
    const ret = wasm.bus_takeAttention(this.__wbg_ptr);
    return ret !== 0;
  }
  /**
   * Cuts the next batch of a shard.
   * @param {number} shard
   * @returns {RawBatch | undefined}
   */
  takeBatch(shard) {
    const ret = wasm.bus_takeBatch(this.__wbg_ptr, shard);
    return ret === 0 ? void 0 : RawBatch.__wrap(ret);
  }
  /**
   * Sets the clock: nanoseconds since the node was created.
   * @param {number} now
   */
  tick(now) {
    wasm.bus_tick(this.__wbg_ptr, now);
  }
}
if (Symbol.dispose) Bus.prototype[Symbol.dispose] = Bus.prototype.free;
class Filter {
  __destroy_into_raw() {
    const ptr = this.__wbg_ptr;
    this.__wbg_ptr = 0;
    FilterFinalization.unregister(this);
    return ptr;
  }
  free() {
    const ptr = this.__destroy_into_raw();
    wasm.__wbg_filter_free(ptr, 0);
  }
  /**
   * Tests a packed batch; one byte an event, 1 = matches.
   * @param {Uint8Array | number[]} data
   * @param {Uint32Array | number[]} ends
   * @returns {Uint8Array}
   */
  matchMany(data, ends) {
    let ptr0, len0, ptr1, len1;
    try {
      ptr0 = passArray8ToWasm0(data, wasm.__wbindgen_malloc);
      len0 = WASM_VECTOR_LEN;
      ptr1 = passArray32ToWasm0(ends, wasm.__wbindgen_malloc);
      len1 = WASM_VECTOR_LEN;
    } catch (e) {
      if (ptr1) {
        wasm.__wbindgen_free(ptr1, len1 * 4, 4);
      }
      if (ptr0) {
        wasm.__wbindgen_free(ptr0, len0 * 1, 1);
      }
      throw e;
    }
    const ret = wasm.filter_matchMany(this.__wbg_ptr, ptr0, len0, ptr1, len1);
    if (ret[3]) {
      throw takeFromExternrefTable0(ret[2]);
    }
    var v3 = getArrayU8FromWasm0(ret[0], ret[1]).slice();
    wasm.__wbindgen_free(ret[0], ret[1] * 1, 1);
    return v3;
  }
  /**
   * Whether the event matches.
   * @param {Uint8Array | number[]} event
   * @returns {boolean}
   */
  matches(event) {
    const ptr0 = passArray8ToWasm0(event, wasm.__wbindgen_malloc);
    const len0 = WASM_VECTOR_LEN;
    const ret = wasm.filter_matches(this.__wbg_ptr, ptr0, len0);
    return ret !== 0;
  }
  /**
   * Compiles a text; the message of the error is the reason alone.
   * @param {string} text
   */
  constructor(text) {
    const ptr0 = passStringToWasm0(text, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
    const len0 = WASM_VECTOR_LEN;
    const ret = wasm.filter_new(ptr0, len0);
    if (ret[2]) {
      throw takeFromExternrefTable0(ret[1]);
    }
    this.__wbg_ptr = ret[0];
    FilterFinalization.register(this, this.__wbg_ptr, this);
    return this;
  }
}
if (Symbol.dispose) Filter.prototype[Symbol.dispose] = Filter.prototype.free;
class LogVerifier {
  static __wrap(ptr) {
    const obj = Object.create(LogVerifier.prototype);
    obj.__wbg_ptr = ptr;
    LogVerifierFinalization.register(obj, obj.__wbg_ptr, obj);
    return obj;
  }
  __destroy_into_raw() {
    const ptr = this.__wbg_ptr;
    this.__wbg_ptr = 0;
    LogVerifierFinalization.unregister(this);
    return ptr;
  }
  free() {
    const ptr = this.__destroy_into_raw();
    wasm.__wbg_logverifier_free(ptr, 0);
  }
  /**
   * See there.
   * @param {Uint8Array | number[]} idx
   * @param {Uint8Array | number[]} dat
   * @param {number} from
   */
  check(idx, dat, from) {
    const val3 = +from;
    let ptr0, len0, ptr1, len1;
    try {
      ptr0 = passArray8ToWasm0(idx, wasm.__wbindgen_malloc);
      len0 = WASM_VECTOR_LEN;
      ptr1 = passArray8ToWasm0(dat, wasm.__wbindgen_malloc);
      len1 = WASM_VECTOR_LEN;
    } catch (e) {
      if (ptr1) {
        wasm.__wbindgen_free(ptr1, len1 * 1, 1);
      }
      if (ptr0) {
        wasm.__wbindgen_free(ptr0, len0 * 1, 1);
      }
      throw e;
    }
    wasm.logverifier_check(this.__wbg_ptr, ptr0, len0, ptr1, len1, val3);
  }
  /**
   * See there.
   * @returns {string}
   */
  result() {
    let deferred1_0;
    let deferred1_1;
    try {
      const ret = wasm.logverifier_result(this.__wbg_ptr);
      deferred1_0 = ret[0];
      deferred1_1 = ret[1];
      return getStringFromWasm0(ret[0], ret[1]);
    } finally {
      wasm.__wbindgen_free(deferred1_0, deferred1_1, 1);
    }
  }
  /**
   * See there.
   * @param {Uint8Array | number[]} idx
   */
  take(idx) {
    const ptr0 = passArray8ToWasm0(idx, wasm.__wbindgen_malloc);
    const len0 = WASM_VECTOR_LEN;
    wasm.logverifier_take(this.__wbg_ptr, ptr0, len0);
  }
}
if (Symbol.dispose) LogVerifier.prototype[Symbol.dispose] = LogVerifier.prototype.free;
class RawBatch {
  static __wrap(ptr) {
    const obj = Object.create(RawBatch.prototype);
    obj.__wbg_ptr = ptr;
    RawBatchFinalization.register(obj, obj.__wbg_ptr, obj);
    return obj;
  }
  __destroy_into_raw() {
    const ptr = this.__wbg_ptr;
    this.__wbg_ptr = 0;
    RawBatchFinalization.unregister(this);
    return ptr;
  }
  free() {
    const ptr = this.__destroy_into_raw();
    wasm.__wbg_rawbatch_free(ptr, 0);
  }
  /**
   * The events back to back.
   * @returns {Uint8Array}
   */
  get data() {
    const ret = wasm.rawbatch_data(this.__wbg_ptr);
    var v1 = getArrayU8FromWasm0(ret[0], ret[1]).slice();
    wasm.__wbindgen_free(ret[0], ret[1] * 1, 1);
    return v1;
  }
  /**
   * End offset of each event.
   * @returns {Uint32Array}
   */
  get ends() {
    const ret = wasm.rawbatch_ends(this.__wbg_ptr);
    var v1 = getArrayU32FromWasm0(ret[0], ret[1]).slice();
    wasm.__wbindgen_free(ret[0], ret[1] * 4, 4);
    return v1;
  }
  /**
   * Number of events in all earlier batches of the shard.
   * @returns {bigint}
   */
  get sequenceStart() {
    const ret = wasm.rawbatch_sequenceStart(this.__wbg_ptr);
    return BigInt.asUintN(64, ret);
  }
  /**
   * Time stamp of each event.
   * @returns {BigUint64Array}
   */
  get timestamps() {
    const ret = wasm.rawbatch_timestamps(this.__wbg_ptr);
    var v1 = getArrayU64FromWasm0(ret[0], ret[1]).slice();
    wasm.__wbindgen_free(ret[0], ret[1] * 8, 8);
    return v1;
  }
}
if (Symbol.dispose) RawBatch.prototype[Symbol.dispose] = RawBatch.prototype.free;
class RawLog {
  static __wrap(ptr) {
    const obj = Object.create(RawLog.prototype);
    obj.__wbg_ptr = ptr;
    RawLogFinalization.register(obj, obj.__wbg_ptr, obj);
    return obj;
  }
  __destroy_into_raw() {
    const ptr = this.__wbg_ptr;
    this.__wbg_ptr = 0;
    RawLogFinalization.unregister(this);
    return ptr;
  }
  free() {
    const ptr = this.__destroy_into_raw();
    wasm.__wbg_rawlog_free(ptr, 0);
  }
  /**
   * See there.
   * @param {bigint} next
   */
  advance(next) {
    wasm.rawlog_advance(this.__wbg_ptr, next);
  }
  /**
   * See there.
   * @param {number} count
   */
  appendBatch(count) {
    wasm.rawlog_appendBatch(this.__wbg_ptr, count);
  }
  /**
   * See there.
   * @param {Uint8Array | number[]} payload
   * @param {number} now_ms
   */
  appendBytes(payload, now_ms) {
    const val2 = +now_ms;
    const ptr0 = passArray8ToWasm0(payload, wasm.__wbindgen_malloc);
    const len0 = WASM_VECTOR_LEN;
    wasm.rawlog_appendBytes(this.__wbg_ptr, ptr0, len0, val2);
  }
  /**
   * See there.
   * @param {number} length
   */
  appendEvent(length) {
    wasm.rawlog_appendEvent(this.__wbg_ptr, length);
  }
  /**
   * See there.
   * @param {Uint32Array | number[]} lengths
   * @param {Uint8Array | number[]} payloads
   * @param {number} now_ms
   */
  appendPacked(lengths, payloads, now_ms) {
    const val3 = +now_ms;
    let ptr0, len0, ptr1, len1;
    try {
      ptr0 = passArray32ToWasm0(lengths, wasm.__wbindgen_malloc);
      len0 = WASM_VECTOR_LEN;
      ptr1 = passArray8ToWasm0(payloads, wasm.__wbindgen_malloc);
      len1 = WASM_VECTOR_LEN;
    } catch (e) {
      if (ptr1) {
        wasm.__wbindgen_free(ptr1, len1 * 1, 1);
      }
      if (ptr0) {
        wasm.__wbindgen_free(ptr0, len0 * 4, 4);
      }
      throw e;
    }
    wasm.rawlog_appendPacked(this.__wbg_ptr, ptr0, len0, ptr1, len1, val3);
  }
  /**
   * See `RawLog` in ts/src/backend/log.ts.
   * @param {number} length
   */
  append(length) {
    wasm.rawlog_append(this.__wbg_ptr, length);
  }
  /**
   * See there.
   * @param {number} count
   */
  checkEvents(count) {
    wasm.rawlog_checkEvents(this.__wbg_ptr, count);
  }
  /**
   * See there.
   */
  closeNow() {
    wasm.rawlog_closeNow(this.__wbg_ptr);
  }
  /**
   * See there.
   * @returns {boolean}
   */
  compactStep() {
    const ret = wasm.rawlog_compactStep(this.__wbg_ptr);
    if (ret[2]) {
      throw takeFromExternrefTable0(ret[1]);
    }
    return ret[0] !== 0;
  }
  /**
   * See there.
   * @returns {boolean}
   */
  compactionDue() {
    const ret = wasm.rawlog_compactionDue(this.__wbg_ptr);
    return ret !== 0;
  }
  /**
   * See there.
   * @returns {string}
   */
  failure() {
    let deferred1_0;
    let deferred1_1;
    try {
      const ret = wasm.rawlog_failure(this.__wbg_ptr);
      deferred1_0 = ret[0];
      deferred1_1 = ret[1];
      return getStringFromWasm0(ret[0], ret[1]);
    } finally {
      wasm.__wbindgen_free(deferred1_0, deferred1_1, 1);
    }
  }
  /**
   * See there.
   * @returns {any[]}
   */
  files() {
    const ret = wasm.rawlog_files(this.__wbg_ptr);
    var v1 = getArrayJsValueFromWasm0(ret[0], ret[1]);
    wasm.__wbindgen_free(ret[0], ret[1] * 4, 4);
    return v1;
  }
  /**
   * See there.
   * @param {boolean} ok
   * @param {number} now_ms
   */
  flushed(ok, now_ms) {
    wasm.rawlog_flushed(this.__wbg_ptr, ok, now_ms);
  }
  /**
   * See there. A driver in JavaScript cannot tell.
   * @returns {boolean}
   */
  isLive() {
    const ret = wasm.rawlog_isLive(this.__wbg_ptr);
    return ret !== 0;
  }
  /**
   * See there.
   * @param {number} now_ms
   */
  observe(now_ms) {
    wasm.rawlog_observe(this.__wbg_ptr, now_ms);
  }
  /**
   * See there.
   * @param {bigint} seq
   * @returns {Uint8Array}
   */
  payload(seq) {
    const ret = wasm.rawlog_payload(this.__wbg_ptr, seq);
    var v1 = getArrayU8FromWasm0(ret[0], ret[1]).slice();
    wasm.__wbindgen_free(ret[0], ret[1] * 1, 1);
    return v1;
  }
  /**
   * See there.
   * @param {bigint} from
   * @param {bigint} to
   * @param {number} max
   * @returns {number}
   */
  read(from, to, max) {
    const ret = wasm.rawlog_read(this.__wbg_ptr, from, to, max);
    return ret >>> 0;
  }
  /**
   * See there.
   */
  shut() {
    wasm.rawlog_shut(this.__wbg_ptr);
  }
  /**
   * See there.
   * @returns {string}
   */
  stats() {
    let deferred1_0;
    let deferred1_1;
    try {
      const ret = wasm.rawlog_stats(this.__wbg_ptr);
      deferred1_0 = ret[0];
      deferred1_1 = ret[1];
      return getStringFromWasm0(ret[0], ret[1]);
    } finally {
      wasm.__wbindgen_free(deferred1_0, deferred1_1, 1);
    }
  }
  /**
   * See there.
   * @param {bigint} below
   */
  trim(below) {
    wasm.rawlog_trim(this.__wbg_ptr, below);
  }
}
if (Symbol.dispose) RawLog.prototype[Symbol.dispose] = RawLog.prototype.free;
class RawMesh {
  __destroy_into_raw() {
    const ptr = this.__wbg_ptr;
    this.__wbg_ptr = 0;
    RawMeshFinalization.unregister(this);
    return ptr;
  }
  free() {
    const ptr = this.__destroy_into_raw();
    wasm.__wbg_rawmesh_free(ptr, 0);
  }
  /**
   * See the door.
   * @param {number} now
   * @param {bigint} peer
   * @param {boolean} any
   * @returns {number}
   */
  accept(now, peer, any) {
    const ret = wasm.rawmesh_accept(this.__wbg_ptr, now, peer, any);
    if (ret[2]) {
      throw takeFromExternrefTable0(ret[1]);
    }
    return ret[0];
  }
  /**
   * See the door.
   * @param {number} now
   * @param {bigint} dest
   * @param {string} link
   */
  addRoute(now, dest, link) {
    const val2 = +now;
    const val3 = BigInt.asIntN(64, dest);
    const ptr0 = passStringToWasm0(link, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
    const len0 = WASM_VECTOR_LEN;
    const ret = wasm.rawmesh_addRoute(this.__wbg_ptr, val2, val3, ptr0, len0);
    if (ret[1]) {
      throw takeFromExternrefTable0(ret[0]);
    }
  }
  /**
   * See the door.
   * @param {number} now
   * @param {number} handle
   * @param {number} frames
   * @returns {number}
   */
  awaitRoom(now, handle, frames) {
    const ret = wasm.rawmesh_awaitRoom(this.__wbg_ptr, now, handle, frames);
    return ret;
  }
  /**
   * See the door.
   * @param {string} link
   * @param {boolean} blocked
   */
  block(link, blocked) {
    const val2 = +blocked;
    const ptr0 = passStringToWasm0(link, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
    const len0 = WASM_VECTOR_LEN;
    const ret = wasm.rawmesh_block(this.__wbg_ptr, ptr0, len0, val2);
    if (ret[1]) {
      throw takeFromExternrefTable0(ret[0]);
    }
  }
  /**
   * See the door.
   * @param {number} _now
   * @param {number} handshake
   */
  cancel(_now, handshake) {
    wasm.rawmesh_cancel(this.__wbg_ptr, _now, handshake);
  }
  /**
   * See the door.
   * @param {number} now
   * @param {bigint} peer
   * @param {bigint} stream
   */
  closeStream(now, peer, stream) {
    wasm.rawmesh_closeStream(this.__wbg_ptr, now, peer, stream);
  }
  /**
   * See the door.
   * @param {number} now
   * @param {number} how
   * @param {string} link
   * @param {Uint8Array | number[]} public_key
   * @param {bigint} peer
   * @returns {number}
   */
  connect(now, how, link, public_key, peer) {
    const val3 = +now;
    const val4 = +how;
    const val5 = BigInt.asIntN(64, peer);
    let ptr0, len0, ptr1, len1;
    try {
      ptr0 = passStringToWasm0(link, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
      len0 = WASM_VECTOR_LEN;
      ptr1 = passArray8ToWasm0(public_key, wasm.__wbindgen_malloc);
      len1 = WASM_VECTOR_LEN;
    } catch (e) {
      if (ptr1) {
        wasm.__wbindgen_free(ptr1, len1 * 1, 1);
      }
      if (ptr0) {
        wasm.__wbindgen_free(ptr0, len0 * 1, 1);
      }
      throw e;
    }
    const ret = wasm.rawmesh_connect(this.__wbg_ptr, val3, val4, ptr0, len0, ptr1, len1, val5);
    if (ret[2]) {
      throw takeFromExternrefTable0(ret[1]);
    }
    return ret[0];
  }
  /**
   * See the door.
   * @param {number} now
   * @param {bigint} peer
   * @returns {boolean}
   */
  disconnect(now, peer) {
    const ret = wasm.rawmesh_disconnect(this.__wbg_ptr, now, peer);
    return ret !== 0;
  }
  /**
   * See the door.
   * @returns {number}
   */
  discoveredNodes() {
    const ret = wasm.rawmesh_discoveredNodes(this.__wbg_ptr);
    return ret >>> 0;
  }
  /**
   * See the door.
   * @param {boolean} drops
   */
  dropUnsolicited(drops) {
    wasm.rawmesh_dropUnsolicited(this.__wbg_ptr, drops);
  }
  /**
   * See the door.
   * @param {bigint} publisher
   * @param {bigint} stream
   * @param {number} tag
   * @returns {boolean}
   */
  expectChannel(publisher, stream, tag) {
    const ret = wasm.rawmesh_expectChannel(this.__wbg_ptr, publisher, stream, tag);
    return ret !== 0;
  }
  /**
   * See the door.
   * @param {string} link
   * @param {bigint | null} [sender]
   * @returns {boolean}
   */
  expectKeepAlive(link, sender) {
    const val2 = BigInt.asIntN(64, isLikeNone(sender) ? BigInt(0) : sender);
    const ptr0 = passStringToWasm0(link, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
    const len0 = WASM_VECTOR_LEN;
    const ret = wasm.rawmesh_expectKeepAlive(this.__wbg_ptr, ptr0, len0, !isLikeNone(sender), val2);
    return ret !== 0;
  }
  /**
   * See the door.
   * @param {number} handle
   * @returns {number}
   */
  flushed(handle) {
    const ret = wasm.rawmesh_flushed(this.__wbg_ptr, handle);
    return ret;
  }
  /**
   * See the door.
   * @param {bigint} publisher
   * @param {bigint} stream
   * @returns {boolean}
   */
  forgetChannel(publisher, stream) {
    const ret = wasm.rawmesh_forgetChannel(this.__wbg_ptr, publisher, stream);
    return ret !== 0;
  }
  /**
   * See the door.
   * @param {number} channel_hash
   * @param {number} visibility
   * @param {Uint32Array | number[]} exports
   */
  gatewayRule(channel_hash, visibility, exports) {
    const val2 = +channel_hash;
    const val3 = +visibility;
    const ptr0 = passArray32ToWasm0(exports, wasm.__wbindgen_malloc);
    const len0 = WASM_VECTOR_LEN;
    wasm.rawmesh_gatewayRule(this.__wbg_ptr, val2, val3, ptr0, len0);
  }
  /**
   * See the door.
   * @param {bigint} node
   * @param {number | null} [subnet]
   */
  gatewaySubnet(node, subnet) {
    wasm.rawmesh_gatewaySubnet(this.__wbg_ptr, node, isLikeNone(subnet) ? Number.MAX_SAFE_INTEGER : subnet >>> 0);
  }
  /**
   * See the door.
   * @param {bigint} peer
   * @param {string} channel
   * @returns {number}
   */
  grantChannel(peer, channel) {
    const val2 = BigInt.asIntN(64, peer);
    const ptr0 = passStringToWasm0(channel, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
    const len0 = WASM_VECTOR_LEN;
    const ret = wasm.rawmesh_grantChannel(this.__wbg_ptr, val2, ptr0, len0);
    return ret >>> 0;
  }
  /**
   * See the door.
   * @param {number} now
   * @param {string} link
   * @param {Uint8Array | number[]} bytes
   */
  handleDatagram(now, link, bytes) {
    const val3 = +now;
    let ptr0, len0, ptr1, len1;
    try {
      ptr0 = passStringToWasm0(link, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
      len0 = WASM_VECTOR_LEN;
      ptr1 = passArray8ToWasm0(bytes, wasm.__wbindgen_malloc);
      len1 = WASM_VECTOR_LEN;
    } catch (e) {
      if (ptr1) {
        wasm.__wbindgen_free(ptr1, len1 * 1, 1);
      }
      if (ptr0) {
        wasm.__wbindgen_free(ptr0, len0 * 1, 1);
      }
      throw e;
    }
    const ret = wasm.rawmesh_handleDatagram(this.__wbg_ptr, val3, ptr0, len0, ptr1, len1);
    if (ret[1]) {
      throw takeFromExternrefTable0(ret[0]);
    }
  }
  /**
   * See the door.
   * @param {number} now
   */
  handleTimeout(now) {
    wasm.rawmesh_handleTimeout(this.__wbg_ptr, now);
  }
  /**
   * See the door.
   * @param {number} subnet
   * @param {number} origin_hash
   */
  identify(subnet, origin_hash) {
    wasm.rawmesh_identify(this.__wbg_ptr, subnet, origin_hash);
  }
  /**
   * See the door.
   * @returns {boolean}
   */
  isDrained() {
    const ret = wasm.rawmesh_isDrained(this.__wbg_ptr);
    return ret !== 0;
  }
  /**
   * See the door.
   * @param {number} now
   * @param {bigint} dest
   * @param {string} link
   * @param {number} metric
   */
  learnRoute(now, dest, link, metric) {
    const val2 = +now;
    const val3 = BigInt.asIntN(64, dest);
    const val4 = +metric;
    const ptr0 = passStringToWasm0(link, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
    const len0 = WASM_VECTOR_LEN;
    const ret = wasm.rawmesh_learnRoute(this.__wbg_ptr, val2, val3, ptr0, len0, val4);
    if (ret[1]) {
      throw takeFromExternrefTable0(ret[0]);
    }
  }
  /**
   * See the addon.
   * @param {number} now
   * @param {bigint} node_id
   * @param {Uint8Array | number[]} keys
   * @param {Float64Array | number[]} options
   */
  constructor(now, node_id, keys, options) {
    const val3 = +now;
    const val4 = BigInt.asIntN(64, node_id);
    let ptr0, len0, ptr1, len1;
    try {
      ptr0 = passArray8ToWasm0(keys, wasm.__wbindgen_malloc);
      len0 = WASM_VECTOR_LEN;
      ptr1 = passArrayF64ToWasm0(options, wasm.__wbindgen_malloc);
      len1 = WASM_VECTOR_LEN;
    } catch (e) {
      if (ptr1) {
        wasm.__wbindgen_free(ptr1, len1 * 8, 8);
      }
      if (ptr0) {
        wasm.__wbindgen_free(ptr0, len0 * 1, 1);
      }
      throw e;
    }
    const ret = wasm.rawmesh_new(val3, val4, ptr0, len0, ptr1, len1);
    if (ret[2]) {
      throw takeFromExternrefTable0(ret[1]);
    }
    this.__wbg_ptr = ret[0];
    RawMeshFinalization.register(this, this.__wbg_ptr, this);
    return this;
  }
  /**
   * See the door.
   * @returns {number}
   */
  nextDeadline() {
    const ret = wasm.rawmesh_nextDeadline(this.__wbg_ptr);
    return ret;
  }
  /**
   * See the door.
   * @param {number} now
   * @param {bigint} peer
   * @param {bigint} stream
   * @param {number} reliability
   * @param {number} window
   * @param {number} weight
   * @returns {number}
   */
  openStream(now, peer, stream, reliability, window, weight) {
    const ret = wasm.rawmesh_openStream(this.__wbg_ptr, now, peer, stream, reliability, window, weight);
    if (ret[2]) {
      throw takeFromExternrefTable0(ret[1]);
    }
    return ret[0] >>> 0;
  }
  /**
   * See the door.
   * @param {string} link
   * @returns {bigint | undefined}
   */
  peerAt(link) {
    const ptr0 = passStringToWasm0(link, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
    const len0 = WASM_VECTOR_LEN;
    const ret = wasm.rawmesh_peerAt(this.__wbg_ptr, ptr0, len0);
    return ret[0] === 0 ? void 0 : BigInt.asUintN(64, ret[1]);
  }
  /**
   * See the door.
   * @returns {number}
   */
  peerCount() {
    const ret = wasm.rawmesh_peerCount(this.__wbg_ptr);
    return ret >>> 0;
  }
  /**
   * See the door.
   * @returns {string}
   */
  peers() {
    let deferred1_0;
    let deferred1_1;
    try {
      const ret = wasm.rawmesh_peers(this.__wbg_ptr);
      deferred1_0 = ret[0];
      deferred1_1 = ret[1];
      return getStringFromWasm0(ret[0], ret[1]);
    } finally {
      wasm.__wbindgen_free(deferred1_0, deferred1_1, 1);
    }
  }
  /**
   * See the door.
   * @returns {Uint8Array}
   */
  publicKey() {
    const ret = wasm.rawmesh_publicKey(this.__wbg_ptr);
    var v1 = getArrayU8FromWasm0(ret[0], ret[1]).slice();
    wasm.__wbindgen_free(ret[0], ret[1] * 1, 1);
    return v1;
  }
  /**
   * See the door.
   * @param {number} now
   * @param {number} channel
   * @param {BigUint64Array | bigint[]} peers
   * @param {Uint8Array | number[]} frames
   * @param {number} length
   * @param {number} count
   * @param {number} flags
   * @param {Int8Array} outcomes
   * @returns {number}
   */
  publish(now, channel, peers, frames, length, count, flags, outcomes) {
    const val4 = +now;
    const val5 = +channel;
    const val6 = +length;
    const val7 = +count;
    const val8 = +flags;
    let ptr0, len0, ptr1, len1, ptr2, len2;
    try {
      ptr0 = passArray64ToWasm0(peers, wasm.__wbindgen_malloc);
      len0 = WASM_VECTOR_LEN;
      ptr1 = passArray8ToWasm0(frames, wasm.__wbindgen_malloc);
      len1 = WASM_VECTOR_LEN;
      ptr2 = passArray8ToWasm0(outcomes, wasm.__wbindgen_malloc);
      len2 = WASM_VECTOR_LEN;
    } catch (e) {
      if (ptr2) {
        wasm.__wbindgen_free(ptr2, len2 * 1, 1);
      }
      if (ptr1) {
        wasm.__wbindgen_free(ptr1, len1 * 1, 1);
      }
      if (ptr0) {
        wasm.__wbindgen_free(ptr0, len0 * 8, 8);
      }
      throw e;
    }
    const ret = wasm.rawmesh_publish(this.__wbg_ptr, val4, val5, ptr0, len0, ptr1, len1, val6, val7, val8, ptr2, len2, outcomes);
    if (ret[2]) {
      throw takeFromExternrefTable0(ret[1]);
    }
    return ret[0] >>> 0;
  }
  /**
   * See the door.
   * @param {bigint} peer
   * @param {string} channel
   * @returns {boolean}
   */
  revokeChannel(peer, channel) {
    const val2 = BigInt.asIntN(64, peer);
    const ptr0 = passStringToWasm0(channel, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
    const len0 = WASM_VECTOR_LEN;
    const ret = wasm.rawmesh_revokeChannel(this.__wbg_ptr, val2, ptr0, len0);
    return ret !== 0;
  }
  /**
   * See the door.
   * @returns {string}
   */
  routes() {
    let deferred1_0;
    let deferred1_1;
    try {
      const ret = wasm.rawmesh_routes(this.__wbg_ptr);
      deferred1_0 = ret[0];
      deferred1_1 = ret[1];
      return getStringFromWasm0(ret[0], ret[1]);
    } finally {
      wasm.__wbindgen_free(deferred1_0, deferred1_1, 1);
    }
  }
  /**
   * See the door.
   * @param {number} now
   * @param {number} handle
   * @param {Uint8Array | number[]} data
   * @param {Uint32Array | number[]} ends
   * @param {number} from
   * @returns {number}
   */
  sendBatch(now, handle, data, ends, from) {
    const val3 = +now;
    const val4 = +handle;
    const val5 = +from;
    let ptr0, len0, ptr1, len1;
    try {
      ptr0 = passArray8ToWasm0(data, wasm.__wbindgen_malloc);
      len0 = WASM_VECTOR_LEN;
      ptr1 = passArray32ToWasm0(ends, wasm.__wbindgen_malloc);
      len1 = WASM_VECTOR_LEN;
    } catch (e) {
      if (ptr1) {
        wasm.__wbindgen_free(ptr1, len1 * 4, 4);
      }
      if (ptr0) {
        wasm.__wbindgen_free(ptr0, len0 * 1, 1);
      }
      throw e;
    }
    const ret = wasm.rawmesh_sendBatch(this.__wbg_ptr, val3, val4, ptr0, len0, ptr1, len1, val5);
    return ret;
  }
  /**
   * See the door.
   * @param {number} now
   * @param {string} link
   */
  sendKeepAlive(now, link) {
    const val2 = +now;
    const ptr0 = passStringToWasm0(link, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
    const len0 = WASM_VECTOR_LEN;
    const ret = wasm.rawmesh_sendKeepAlive(this.__wbg_ptr, val2, ptr0, len0);
    if (ret[1]) {
      throw takeFromExternrefTable0(ret[0]);
    }
  }
  /**
   * See the door.
   * @param {number} now
   * @param {number} handle
   * @param {Uint8Array | number[]} frames
   * @param {number} length
   * @param {number} count
   * @param {boolean} partial
   * @returns {number}
   */
  sendSoon(now, handle, frames, length, count, partial) {
    const val2 = +now;
    const val3 = +handle;
    const val4 = +length;
    const val5 = +count;
    const val6 = +partial;
    const ptr0 = passArray8ToWasm0(frames, wasm.__wbindgen_malloc);
    const len0 = WASM_VECTOR_LEN;
    const ret = wasm.rawmesh_sendSoon(this.__wbg_ptr, val2, val3, ptr0, len0, val4, val5, val6);
    if (ret[2]) {
      throw takeFromExternrefTable0(ret[1]);
    }
    return ret[0];
  }
  /**
   * See the door.
   * @param {number} now
   * @param {bigint} peer
   * @param {number} subprotocol
   * @param {Uint8Array | number[]} frames
   * @param {number} length
   * @param {number} count
   * @returns {number}
   */
  sendTo(now, peer, subprotocol, frames, length, count) {
    const val2 = +now;
    const val3 = BigInt.asIntN(64, peer);
    const val4 = +subprotocol;
    const val5 = +length;
    const val6 = +count;
    const ptr0 = passArray8ToWasm0(frames, wasm.__wbindgen_malloc);
    const len0 = WASM_VECTOR_LEN;
    const ret = wasm.rawmesh_sendTo(this.__wbg_ptr, val2, val3, val4, ptr0, len0, val5, val6);
    if (ret[2]) {
      throw takeFromExternrefTable0(ret[1]);
    }
    return ret[0];
  }
  /**
   * See the door.
   * @param {number} now
   * @param {number} handle
   * @param {Uint8Array | number[]} frames
   * @param {number} length
   * @param {number} count
   * @param {boolean} partial
   * @param {number} channel_hash
   * @param {number} origin_hash
   * @returns {number}
   */
  send(now, handle, frames, length, count, partial, channel_hash, origin_hash) {
    const val2 = +now;
    const val3 = +handle;
    const val4 = +length;
    const val5 = +count;
    const val6 = +partial;
    const val7 = +channel_hash;
    const val8 = +origin_hash;
    const ptr0 = passArray8ToWasm0(frames, wasm.__wbindgen_malloc);
    const len0 = WASM_VECTOR_LEN;
    const ret = wasm.rawmesh_send(this.__wbg_ptr, val2, val3, ptr0, len0, val4, val5, val6, val7, val8);
    if (ret[2]) {
      throw takeFromExternrefTable0(ret[1]);
    }
    return ret[0];
  }
  /**
   * See the door.
   * @param {boolean} on
   * @param {boolean} denies_unknown
   */
  setGateway(on, denies_unknown) {
    wasm.rawmesh_setGateway(this.__wbg_ptr, on, denies_unknown);
  }
  /**
   * See the door.
   * @param {number} unix_us_at_zero
   */
  setWallClock(unix_us_at_zero) {
    wasm.rawmesh_setWallClock(this.__wbg_ptr, unix_us_at_zero);
  }
  /**
   * See the door.
   * @param {number} now
   */
  shutdown(now) {
    wasm.rawmesh_shutdown(this.__wbg_ptr, now);
  }
  /**
   * See the door.
   * @param {number} now
   */
  start(now) {
    wasm.rawmesh_start(this.__wbg_ptr, now);
  }
  /**
   * See the door.
   * @returns {string}
   */
  stats() {
    let deferred1_0;
    let deferred1_1;
    try {
      const ret = wasm.rawmesh_stats(this.__wbg_ptr);
      deferred1_0 = ret[0];
      deferred1_1 = ret[1];
      return getStringFromWasm0(ret[0], ret[1]);
    } finally {
      wasm.__wbindgen_free(deferred1_0, deferred1_1, 1);
    }
  }
  /**
   * See the door.
   * @param {bigint} peer
   * @param {bigint} stream
   * @returns {BigUint64Array | undefined}
   */
  streamStats(peer, stream) {
    const ret = wasm.rawmesh_streamStats(this.__wbg_ptr, peer, stream);
    let v1;
    if (ret[0] !== 0) {
      v1 = getArrayU64FromWasm0(ret[0], ret[1]).slice();
      wasm.__wbindgen_free(ret[0], ret[1] * 8, 8);
    }
    return v1;
  }
  /**
   * See the door.
   * @param {number} events
   * @returns {Uint8Array}
   */
  takeDeliveries(events) {
    const ret = wasm.rawmesh_takeDeliveries(this.__wbg_ptr, events);
    var v1 = getArrayU8FromWasm0(ret[0], ret[1]).slice();
    wasm.__wbindgen_free(ret[0], ret[1] * 1, 1);
    return v1;
  }
  /**
   * See the door.
   * @returns {Uint8Array}
   */
  takeEvents() {
    const ret = wasm.rawmesh_takeEvents(this.__wbg_ptr);
    var v1 = getArrayU8FromWasm0(ret[0], ret[1]).slice();
    wasm.__wbindgen_free(ret[0], ret[1] * 1, 1);
    return v1;
  }
  /**
   * See the door.
   * @param {number} now
   * @returns {Uint8Array}
   */
  takeTransmits(now) {
    const ret = wasm.rawmesh_takeTransmits(this.__wbg_ptr, now);
    var v1 = getArrayU8FromWasm0(ret[0], ret[1]).slice();
    wasm.__wbindgen_free(ret[0], ret[1] * 1, 1);
    return v1;
  }
  /**
   * See the door.
   * @param {number} now
   * @param {bigint} peer
   * @param {string} link
   * @returns {boolean}
   */
  tryPath(now, peer, link) {
    const val2 = +now;
    const val3 = BigInt.asIntN(64, peer);
    const ptr0 = passStringToWasm0(link, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
    const len0 = WASM_VECTOR_LEN;
    const ret = wasm.rawmesh_tryPath(this.__wbg_ptr, val2, val3, ptr0, len0);
    if (ret[2]) {
      throw takeFromExternrefTable0(ret[1]);
    }
    return ret[0] !== 0;
  }
}
if (Symbol.dispose) RawMesh.prototype[Symbol.dispose] = RawMesh.prototype.free;
function crc32c(bytes) {
  const ptr0 = passArray8ToWasm0(bytes, wasm.__wbindgen_malloc);
  const len0 = WASM_VECTOR_LEN;
  const ret = wasm.crc32c(ptr0, len0);
  return ret >>> 0;
}
function ed25519PublicKey(seed) {
  const ptr0 = passArray8ToWasm0(seed, wasm.__wbindgen_malloc);
  const len0 = WASM_VECTOR_LEN;
  const ret = wasm.ed25519PublicKey(ptr0, len0);
  if (ret[3]) {
    throw takeFromExternrefTable0(ret[2]);
  }
  var v2 = getArrayU8FromWasm0(ret[0], ret[1]).slice();
  wasm.__wbindgen_free(ret[0], ret[1] * 1, 1);
  return v2;
}
function ed25519Sign(seed, message) {
  let ptr0, len0, ptr1, len1;
  try {
    ptr0 = passArray8ToWasm0(seed, wasm.__wbindgen_malloc);
    len0 = WASM_VECTOR_LEN;
    ptr1 = passArray8ToWasm0(message, wasm.__wbindgen_malloc);
    len1 = WASM_VECTOR_LEN;
  } catch (e) {
    if (ptr1) {
      wasm.__wbindgen_free(ptr1, len1 * 1, 1);
    }
    if (ptr0) {
      wasm.__wbindgen_free(ptr0, len0 * 1, 1);
    }
    throw e;
  }
  const ret = wasm.ed25519Sign(ptr0, len0, ptr1, len1);
  if (ret[3]) {
    throw takeFromExternrefTable0(ret[2]);
  }
  var v3 = getArrayU8FromWasm0(ret[0], ret[1]).slice();
  wasm.__wbindgen_free(ret[0], ret[1] * 1, 1);
  return v3;
}
function ed25519Verify(public_key, message, signature) {
  let ptr0, len0, ptr1, len1, ptr2, len2;
  try {
    ptr0 = passArray8ToWasm0(public_key, wasm.__wbindgen_malloc);
    len0 = WASM_VECTOR_LEN;
    ptr1 = passArray8ToWasm0(message, wasm.__wbindgen_malloc);
    len1 = WASM_VECTOR_LEN;
    ptr2 = passArray8ToWasm0(signature, wasm.__wbindgen_malloc);
    len2 = WASM_VECTOR_LEN;
  } catch (e) {
    if (ptr2) {
      wasm.__wbindgen_free(ptr2, len2 * 1, 1);
    }
    if (ptr1) {
      wasm.__wbindgen_free(ptr1, len1 * 1, 1);
    }
    if (ptr0) {
      wasm.__wbindgen_free(ptr0, len0 * 1, 1);
    }
    throw e;
  }
  const ret = wasm.ed25519Verify(ptr0, len0, ptr1, len1, ptr2, len2);
  return ret !== 0;
}
function isJson(bytes) {
  const ptr0 = passArray8ToWasm0(bytes, wasm.__wbindgen_malloc);
  const len0 = WASM_VECTOR_LEN;
  const ret = wasm.isJson(ptr0, len0);
  return ret !== 0;
}
function journalEntry(data, ends, timestamps, shard, sequence_start) {
  const val4 = +shard;
  const val5 = BigInt.asIntN(64, sequence_start);
  let ptr0, len0, ptr1, len1, ptr2, len2;
  try {
    ptr0 = passArray8ToWasm0(data, wasm.__wbindgen_malloc);
    len0 = WASM_VECTOR_LEN;
    ptr1 = passArray32ToWasm0(ends, wasm.__wbindgen_malloc);
    len1 = WASM_VECTOR_LEN;
    ptr2 = passArray64ToWasm0(timestamps, wasm.__wbindgen_malloc);
    len2 = WASM_VECTOR_LEN;
  } catch (e) {
    if (ptr2) {
      wasm.__wbindgen_free(ptr2, len2 * 8, 8);
    }
    if (ptr1) {
      wasm.__wbindgen_free(ptr1, len1 * 4, 4);
    }
    if (ptr0) {
      wasm.__wbindgen_free(ptr0, len0 * 1, 1);
    }
    throw e;
  }
  const ret = wasm.journalEntry(ptr0, len0, ptr1, len1, ptr2, len2, val4, val5);
  if (ret[3]) {
    throw takeFromExternrefTable0(ret[2]);
  }
  var v6 = getArrayU8FromWasm0(ret[0], ret[1]).slice();
  wasm.__wbindgen_free(ret[0], ret[1] * 1, 1);
  return v6;
}
function logArea() {
  const ret = wasm.logArea();
  return ret;
}
function logChecksum(payload) {
  const ptr0 = passArray8ToWasm0(payload, wasm.__wbindgen_malloc);
  const len0 = WASM_VECTOR_LEN;
  const ret = wasm.logChecksum(ptr0, len0);
  return ret >>> 0;
}
function logManifest(generation) {
  const ret = wasm.logManifest(generation);
  var v1 = getArrayU8FromWasm0(ret[0], ret[1]).slice();
  wasm.__wbindgen_free(ret[0], ret[1] * 1, 1);
  return v1;
}
function logReadManifest(bytes) {
  const ptr0 = passArray8ToWasm0(bytes, wasm.__wbindgen_malloc);
  const len0 = WASM_VECTOR_LEN;
  const ret = wasm.logReadManifest(ptr0, len0);
  return ret >>> 0;
}
function logRecord(seq, offset, payload, inline) {
  const val2 = BigInt.asIntN(64, seq);
  const val3 = +offset;
  const val4 = +inline;
  const ptr0 = passArray8ToWasm0(payload, wasm.__wbindgen_malloc);
  const len0 = WASM_VECTOR_LEN;
  const ret = wasm.logRecord(val2, val3, ptr0, len0, val4);
  var v5 = getArrayU8FromWasm0(ret[0], ret[1]).slice();
  wasm.__wbindgen_free(ret[0], ret[1] * 1, 1);
  return v5;
}
function logVerifier(dat_length, ts_length) {
  const ret = wasm.logVerifier(dat_length, ts_length);
  return LogVerifier.__wrap(ret);
}
function natsPage(frames, limit) {
  const val2 = +limit;
  const ptr0 = passArray8ToWasm0(frames, wasm.__wbindgen_malloc);
  const len0 = WASM_VECTOR_LEN;
  const ret = wasm.natsPage(ptr0, len0, val2);
  let v3;
  if (ret[0] !== 0) {
    v3 = getArrayU8FromWasm0(ret[0], ret[1]).slice();
    wasm.__wbindgen_free(ret[0], ret[1] * 1, 1);
  }
  return v3;
}
function natsRecords(data, ends, timestamps, shard, from, to, subject, reply_prefix, id_prefix) {
  const val7 = +shard;
  const val8 = +from;
  const val9 = +to;
  let ptr0, len0, ptr1, len1, ptr2, len2, ptr3, len3, ptr4, len4, ptr5, len5;
  try {
    ptr0 = passArray8ToWasm0(data, wasm.__wbindgen_malloc);
    len0 = WASM_VECTOR_LEN;
    ptr1 = passArray32ToWasm0(ends, wasm.__wbindgen_malloc);
    len1 = WASM_VECTOR_LEN;
    ptr2 = passArray64ToWasm0(timestamps, wasm.__wbindgen_malloc);
    len2 = WASM_VECTOR_LEN;
    ptr3 = passStringToWasm0(subject, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
    len3 = WASM_VECTOR_LEN;
    ptr4 = passStringToWasm0(reply_prefix, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
    len4 = WASM_VECTOR_LEN;
    ptr5 = passStringToWasm0(id_prefix, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
    len5 = WASM_VECTOR_LEN;
  } catch (e) {
    if (ptr5) {
      wasm.__wbindgen_free(ptr5, len5 * 1, 1);
    }
    if (ptr4) {
      wasm.__wbindgen_free(ptr4, len4 * 1, 1);
    }
    if (ptr3) {
      wasm.__wbindgen_free(ptr3, len3 * 1, 1);
    }
    if (ptr2) {
      wasm.__wbindgen_free(ptr2, len2 * 8, 8);
    }
    if (ptr1) {
      wasm.__wbindgen_free(ptr1, len1 * 4, 4);
    }
    if (ptr0) {
      wasm.__wbindgen_free(ptr0, len0 * 1, 1);
    }
    throw e;
  }
  const ret = wasm.natsRecords(ptr0, len0, ptr1, len1, ptr2, len2, val7, val8, val9, ptr3, len3, ptr4, len4, ptr5, len5);
  if (ret[3]) {
    throw takeFromExternrefTable0(ret[2]);
  }
  var v10 = getArrayU8FromWasm0(ret[0], ret[1]).slice();
  wasm.__wbindgen_free(ret[0], ret[1] * 1, 1);
  return v10;
}
function openLogMemory(max_events, max_bytes, max_age_ms) {
  const ret = wasm.openLogMemory(max_events, max_bytes, max_age_ms);
  return RawLog.__wrap(ret);
}
function openLogStorage(storage, root, max_events, max_bytes, max_age_ms, now_ms) {
  const val2 = BigInt.asIntN(64, max_events);
  const val3 = BigInt.asIntN(64, max_bytes);
  const val4 = BigInt.asIntN(64, max_age_ms);
  const val5 = +now_ms;
  const ptr0 = passStringToWasm0(root, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
  const len0 = WASM_VECTOR_LEN;
  const ret = wasm.openLogStorage(storage, ptr0, len0, val2, val3, val4, val5);
  if (ret[2]) {
    throw takeFromExternrefTable0(ret[1]);
  }
  return RawLog.__wrap(ret[0]);
}
function redisPage(answer, limit) {
  const val2 = +limit;
  const ptr0 = passArray8ToWasm0(answer, wasm.__wbindgen_malloc);
  const len0 = WASM_VECTOR_LEN;
  const ret = wasm.redisPage(ptr0, len0, val2);
  let v3;
  if (ret[0] !== 0) {
    v3 = getArrayU8FromWasm0(ret[0], ret[1]).slice();
    wasm.__wbindgen_free(ret[0], ret[1] * 1, 1);
  }
  return v3;
}
function redisRecords(data, ends, timestamps, shard, from, to, prefix, between, id_prefix) {
  const val7 = +shard;
  const val8 = +from;
  const val9 = +to;
  let ptr0, len0, ptr1, len1, ptr2, len2, ptr3, len3, ptr4, len4, ptr5, len5;
  try {
    ptr0 = passArray8ToWasm0(data, wasm.__wbindgen_malloc);
    len0 = WASM_VECTOR_LEN;
    ptr1 = passArray32ToWasm0(ends, wasm.__wbindgen_malloc);
    len1 = WASM_VECTOR_LEN;
    ptr2 = passArray64ToWasm0(timestamps, wasm.__wbindgen_malloc);
    len2 = WASM_VECTOR_LEN;
    ptr3 = passArray8ToWasm0(prefix, wasm.__wbindgen_malloc);
    len3 = WASM_VECTOR_LEN;
    ptr4 = passArray8ToWasm0(between, wasm.__wbindgen_malloc);
    len4 = WASM_VECTOR_LEN;
    ptr5 = passStringToWasm0(id_prefix, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
    len5 = WASM_VECTOR_LEN;
  } catch (e) {
    if (ptr5) {
      wasm.__wbindgen_free(ptr5, len5 * 1, 1);
    }
    if (ptr4) {
      wasm.__wbindgen_free(ptr4, len4 * 1, 1);
    }
    if (ptr3) {
      wasm.__wbindgen_free(ptr3, len3 * 1, 1);
    }
    if (ptr2) {
      wasm.__wbindgen_free(ptr2, len2 * 8, 8);
    }
    if (ptr1) {
      wasm.__wbindgen_free(ptr1, len1 * 4, 4);
    }
    if (ptr0) {
      wasm.__wbindgen_free(ptr0, len0 * 1, 1);
    }
    throw e;
  }
  const ret = wasm.redisRecords(ptr0, len0, ptr1, len1, ptr2, len2, val7, val8, val9, ptr3, len3, ptr4, len4, ptr5, len5);
  if (ret[3]) {
    throw takeFromExternrefTable0(ret[2]);
  }
  var v10 = getArrayU8FromWasm0(ret[0], ret[1]).slice();
  wasm.__wbindgen_free(ret[0], ret[1] * 1, 1);
  return v10;
}
function xxh3(bytes) {
  const ptr0 = passArray8ToWasm0(bytes, wasm.__wbindgen_malloc);
  const len0 = WASM_VECTOR_LEN;
  const ret = wasm.xxh3(ptr0, len0);
  return BigInt.asUintN(64, ret);
}
function __wbg_get_imports() {
  const import0 = {
    __proto__: null,
    __wbg_Error_208446807d0d1e30: function(arg0, arg1) {
      const ret = Error(getStringFromWasm0(arg0, arg1));
      return ret;
    },
    __wbg___wbindgen_copy_to_typed_array_680b191e71920dc1: function(arg0, arg1, arg2) {
      new Uint8Array(arg2.buffer, arg2.byteOffset, arg2.byteLength).set(getArrayU8FromWasm0(arg0, arg1));
    },
    __wbg___wbindgen_debug_string_f249a2a76caa9a55: function(arg0, arg1) {
      const ret = debugString(arg1);
      const ptr1 = passStringToWasm0(ret, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
      const len1 = WASM_VECTOR_LEN;
      getDataViewMemory0().setInt32((arg0 >>> 0) + 4 * 1, len1, true);
      getDataViewMemory0().setInt32((arg0 >>> 0) + 4 * 0, ptr1, true);
    },
    __wbg___wbindgen_string_get_7ce8eee7fd327545: function(arg0, arg1) {
      const obj = arg1;
      const ret = typeof obj === "string" ? obj : void 0;
      var ptr1 = isLikeNone(ret) ? 0 : passStringToWasm0(ret, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
      var len1 = WASM_VECTOR_LEN;
      getDataViewMemory0().setInt32((arg0 >>> 0) + 4 * 1, len1, true);
      getDataViewMemory0().setInt32((arg0 >>> 0) + 4 * 0, ptr1, true);
    },
    __wbg___wbindgen_throw_4c88d8bf264fd984: function(arg0, arg1) {
      throw new Error(getStringFromWasm0(arg0, arg1));
    },
    __wbg_close_d0839846063498f0: function() {
      return handleError(function(arg0) {
        arg0.close();
      }, arguments);
    },
    __wbg_instanceof_Error_74e3cca0c4a69161: function(arg0) {
      let result;
      try {
        result = arg0 instanceof Error;
      } catch (_) {
        result = false;
      }
      const ret = result;
      return ret;
    },
    __wbg_isDirectory_5e898f072417ee90: function(arg0) {
      const ret = arg0.isDirectory;
      return ret;
    },
    __wbg_length_773cde56508b1196: function() {
      return handleError(function(arg0) {
        const ret = arg0.length();
        return ret;
      }, arguments);
    },
    __wbg_list_e7658600dff3c82d: function() {
      return handleError(function(arg0, arg1, arg2, arg3) {
        const ret = arg1.list(getStringFromWasm0(arg2, arg3));
        var ptr1 = isLikeNone(ret) ? 0 : passArrayJsValueToWasm0(ret, wasm.__wbindgen_malloc);
        var len1 = WASM_VECTOR_LEN;
        getDataViewMemory0().setInt32((arg0 >>> 0) + 4 * 1, len1, true);
        getDataViewMemory0().setInt32((arg0 >>> 0) + 4 * 0, ptr1, true);
      }, arguments);
    },
    __wbg_lock_1baf33ff121c02b4: function() {
      return handleError(function(arg0, arg1, arg2) {
        const ret = arg0.lock(getStringFromWasm0(arg1, arg2));
        return isLikeNone(ret) ? 0 : addToExternrefTable0(ret);
      }, arguments);
    },
    __wbg_makeDirectory_062be7e1cd5440f4: function() {
      return handleError(function(arg0, arg1, arg2) {
        arg0.makeDirectory(getStringFromWasm0(arg1, arg2));
      }, arguments);
    },
    __wbg_message_43d8c8f1d543a349: function(arg0) {
      const ret = arg0.message;
      return ret;
    },
    __wbg_name_fac961c7ee48c936: function(arg0, arg1) {
      const ret = arg1.name;
      const ptr1 = passStringToWasm0(ret, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
      const len1 = WASM_VECTOR_LEN;
      getDataViewMemory0().setInt32((arg0 >>> 0) + 4 * 1, len1, true);
      getDataViewMemory0().setInt32((arg0 >>> 0) + 4 * 0, ptr1, true);
    },
    __wbg_open_fd3dba5c1c2a7e2c: function() {
      return handleError(function(arg0, arg1, arg2, arg3) {
        const ret = arg0.open(getStringFromWasm0(arg1, arg2), arg3 !== 0);
        return isLikeNone(ret) ? 0 : addToExternrefTable0(ret);
      }, arguments);
    },
    __wbg_read_575f281b6364969a: function() {
      return handleError(function(arg0, arg1, arg2, arg3) {
        const ret = arg0.read(arg1, getArrayU8FromWasm0(arg2, arg3));
        return ret;
      }, arguments);
    },
    __wbg_release_25c1710a666d7676: function() {
      return handleError(function(arg0) {
        arg0.release();
      }, arguments);
    },
    __wbg_remove_156d8e23cfd84629: function() {
      return handleError(function(arg0, arg1, arg2) {
        arg0.remove(getStringFromWasm0(arg1, arg2));
      }, arguments);
    },
    __wbg_rename_75a3b2fcaf42b170: function() {
      return handleError(function(arg0, arg1, arg2, arg3, arg4) {
        arg0.rename(getStringFromWasm0(arg1, arg2), getStringFromWasm0(arg3, arg4));
      }, arguments);
    },
    __wbg_syncDirectory_3d3b84a456a67b2d: function() {
      return handleError(function(arg0, arg1, arg2) {
        arg0.syncDirectory(getStringFromWasm0(arg1, arg2));
      }, arguments);
    },
    __wbg_sync_0b50292c7e8d7825: function() {
      return handleError(function(arg0) {
        arg0.sync();
      }, arguments);
    },
    __wbg_truncate_2ab43d1d31ebeb6a: function() {
      return handleError(function(arg0, arg1) {
        arg0.truncate(arg1);
      }, arguments);
    },
    __wbg_write_7851f63f35a66dbe: function() {
      return handleError(function(arg0, arg1, arg2, arg3) {
        arg0.write(arg1, getArrayU8FromWasm0(arg2, arg3));
      }, arguments);
    },
    __wbindgen_generic_0000000000000001: function(arg0, arg1) {
      const ret = getArrayU8FromWasm0(arg0, arg1);
      return ret;
    },
    __wbindgen_init_externref_table: function() {
      const table = wasm.__wbindgen_externrefs;
      table.set(0, void 0);
      table.set(1024, void 0);
      table.set(1025, null);
      table.set(1026, true);
      table.set(1027, false);
    }
  };
  return {
    __proto__: null,
    "./meshring_wasm_bg.js": import0
  };
}
const Blake3Finalization = typeof FinalizationRegistry === "undefined" ? { register: () => {
}, unregister: () => {
} } : new FinalizationRegistry((ptr) => wasm.__wbg_blake3_free(ptr, 1));
const BusFinalization = typeof FinalizationRegistry === "undefined" ? { register: () => {
}, unregister: () => {
} } : new FinalizationRegistry((ptr) => wasm.__wbg_bus_free(ptr, 1));
const FilterFinalization = typeof FinalizationRegistry === "undefined" ? { register: () => {
}, unregister: () => {
} } : new FinalizationRegistry((ptr) => wasm.__wbg_filter_free(ptr, 1));
const LogVerifierFinalization = typeof FinalizationRegistry === "undefined" ? { register: () => {
}, unregister: () => {
} } : new FinalizationRegistry((ptr) => wasm.__wbg_logverifier_free(ptr, 1));
const RawBatchFinalization = typeof FinalizationRegistry === "undefined" ? { register: () => {
}, unregister: () => {
} } : new FinalizationRegistry((ptr) => wasm.__wbg_rawbatch_free(ptr, 1));
const RawLogFinalization = typeof FinalizationRegistry === "undefined" ? { register: () => {
}, unregister: () => {
} } : new FinalizationRegistry((ptr) => wasm.__wbg_rawlog_free(ptr, 1));
const RawMeshFinalization = typeof FinalizationRegistry === "undefined" ? { register: () => {
}, unregister: () => {
} } : new FinalizationRegistry((ptr) => wasm.__wbg_rawmesh_free(ptr, 1));
function addToExternrefTable0(obj) {
  const idx = wasm.__externref_table_alloc();
  wasm.__wbindgen_externrefs.set(idx, obj);
  return idx;
}
function _assertClass(instance, klass) {
  if (!(instance instanceof klass)) {
    throw new Error(`expected instance of ${klass.name}`);
  }
}
function debugString(val) {
  switch (typeof val) {
    // primitive types
    case "number":
    case "boolean":
    case "undefined":
      return `${val}`;
    case "string":
      return JSON.stringify(val);
    case "bigint":
      return `${val}n`;
    case "symbol":
      return val.description !== void 0 ? `Symbol(${val.description})` : "Symbol";
    case "function":
      return typeof val.name === "string" && val.name !== "" ? `Function(${val.name})` : "Function";
    case "object": {
      if (val === null) {
        return "null";
      }
      if (Array.isArray(val)) {
        return "[" + Array.from(val, debugString).join(", ") + "]";
      }
      if (val instanceof Error) {
        return `${val.name}: ${val.message}
${val.stack}`;
      }
      const toStringOutput = toString.call(val);
      const className = /\[object ([^\]]+)\]/.exec(toStringOutput)?.[1];
      if (className === void 0) {
        return toStringOutput;
      }
      if (className === "Object") {
        try {
          return "Object(" + JSON.stringify(val) + ")";
        } catch (_) {
          return "Object";
        }
      }
      return className;
    }
  }
}
function getArrayF64FromWasm0(ptr, len) {
  ptr = ptr >>> 0;
  return getFloat64ArrayMemory0().subarray(ptr / 8, ptr / 8 + len);
}
function getArrayJsValueFromWasm0(ptr, len) {
  ptr = ptr >>> 0;
  const mem = getDataViewMemory0();
  const result = [];
  for (let i = ptr; i < ptr + 4 * len; i += 4) {
    result.push(wasm.__wbindgen_externrefs.get(mem.getUint32(i, true)));
  }
  wasm.__externref_drop_slice(ptr, len);
  return result;
}
function getArrayU32FromWasm0(ptr, len) {
  ptr = ptr >>> 0;
  return getUint32ArrayMemory0().subarray(ptr / 4, ptr / 4 + len);
}
function getArrayU64FromWasm0(ptr, len) {
  ptr = ptr >>> 0;
  return getBigUint64ArrayMemory0().subarray(ptr / 8, ptr / 8 + len);
}
function getArrayU8FromWasm0(ptr, len) {
  ptr = ptr >>> 0;
  return getUint8ArrayMemory0().subarray(ptr / 1, ptr / 1 + len);
}
let cachedBigUint64ArrayMemory0 = null;
function getBigUint64ArrayMemory0() {
  if (cachedBigUint64ArrayMemory0 === null || cachedBigUint64ArrayMemory0.byteLength === 0) {
    cachedBigUint64ArrayMemory0 = new BigUint64Array(wasm.memory.buffer);
  }
  return cachedBigUint64ArrayMemory0;
}
let cachedDataViewMemory0 = null;
function getDataViewMemory0() {
  if (cachedDataViewMemory0 === null || cachedDataViewMemory0.buffer.detached === true || cachedDataViewMemory0.buffer.detached === void 0 && cachedDataViewMemory0.buffer !== wasm.memory.buffer) {
    cachedDataViewMemory0 = new DataView(wasm.memory.buffer);
  }
  return cachedDataViewMemory0;
}
let cachedFloat64ArrayMemory0 = null;
function getFloat64ArrayMemory0() {
  if (cachedFloat64ArrayMemory0 === null || cachedFloat64ArrayMemory0.byteLength === 0) {
    cachedFloat64ArrayMemory0 = new Float64Array(wasm.memory.buffer);
  }
  return cachedFloat64ArrayMemory0;
}
function getStringFromWasm0(ptr, len) {
  ptr = ptr >>> 0;
  return decodeText(getUint8ArrayMemory0().subarray(ptr, ptr + len));
}
let cachedUint32ArrayMemory0 = null;
function getUint32ArrayMemory0() {
  if (cachedUint32ArrayMemory0 === null || cachedUint32ArrayMemory0.byteLength === 0) {
    cachedUint32ArrayMemory0 = new Uint32Array(wasm.memory.buffer);
  }
  return cachedUint32ArrayMemory0;
}
let cachedUint8ArrayMemory0 = null;
function getUint8ArrayMemory0() {
  if (cachedUint8ArrayMemory0 === null || cachedUint8ArrayMemory0.byteLength === 0) {
    cachedUint8ArrayMemory0 = new Uint8Array(wasm.memory.buffer);
  }
  return cachedUint8ArrayMemory0;
}
function handleError(f, args) {
  try {
    return f.apply(this, args);
  } catch (e) {
    const idx = addToExternrefTable0(e);
    wasm.__wbindgen_exn_store(idx);
  }
}
function isLikeNone(x) {
  return x === void 0 || x === null;
}
function passArray32ToWasm0(arg, malloc) {
  const ptr = malloc(arg.length * 4, 4) >>> 0;
  getUint32ArrayMemory0().set(arg, ptr / 4);
  WASM_VECTOR_LEN = arg.length;
  return ptr;
}
function passArray64ToWasm0(arg, malloc) {
  const ptr = malloc(arg.length * 8, 8) >>> 0;
  getBigUint64ArrayMemory0().set(arg, ptr / 8);
  WASM_VECTOR_LEN = arg.length;
  return ptr;
}
function passArray8ToWasm0(arg, malloc) {
  const ptr = malloc(arg.length * 1, 1) >>> 0;
  getUint8ArrayMemory0().set(arg, ptr / 1);
  WASM_VECTOR_LEN = arg.length;
  return ptr;
}
function passArrayF64ToWasm0(arg, malloc) {
  const ptr = malloc(arg.length * 8, 8) >>> 0;
  getFloat64ArrayMemory0().set(arg, ptr / 8);
  WASM_VECTOR_LEN = arg.length;
  return ptr;
}
function passArrayJsValueToWasm0(array, malloc) {
  const ptr = malloc(array.length * 4, 4) >>> 0;
  for (let i = 0; i < array.length; i++) {
    const add = addToExternrefTable0(array[i]);
    getDataViewMemory0().setUint32(ptr + 4 * i, add, true);
  }
  WASM_VECTOR_LEN = array.length;
  return ptr;
}
function passStringToWasm0(arg, malloc, realloc) {
  if (realloc === void 0) {
    const buf = cachedTextEncoder.encode(arg);
    const ptr2 = malloc(buf.length, 1) >>> 0;
    getUint8ArrayMemory0().subarray(ptr2, ptr2 + buf.length).set(buf);
    WASM_VECTOR_LEN = buf.length;
    return ptr2;
  }
  let len = arg.length;
  let ptr = malloc(len, 1) >>> 0;
  const mem = getUint8ArrayMemory0();
  let offset = 0;
  for (; offset < len; offset++) {
    const code = arg.charCodeAt(offset);
    if (code > 127) break;
    mem[ptr + offset] = code;
  }
  if (offset !== len) {
    if (offset !== 0) {
      arg = arg.slice(offset);
    }
    ptr = realloc(ptr, len, len = offset + arg.length * 3, 1) >>> 0;
    const view = getUint8ArrayMemory0().subarray(ptr + offset, ptr + len);
    const ret = cachedTextEncoder.encodeInto(arg, view);
    offset += ret.written;
    ptr = realloc(ptr, len, offset, 1) >>> 0;
  }
  WASM_VECTOR_LEN = offset;
  return ptr;
}
function takeFromExternrefTable0(idx) {
  const value = wasm.__wbindgen_externrefs.get(idx);
  wasm.__externref_table_dealloc(idx);
  return value;
}
let cachedTextDecoder = new TextDecoder("utf-8", { ignoreBOM: true });
cachedTextDecoder.decode();
const MAX_SAFARI_DECODE_BYTES = 2146435072;
let numBytesDecoded = 0;
function decodeText(bytes) {
  numBytesDecoded += bytes.length;
  if (numBytesDecoded >= MAX_SAFARI_DECODE_BYTES) {
    cachedTextDecoder = new TextDecoder("utf-8", { ignoreBOM: true });
    cachedTextDecoder.decode();
    numBytesDecoded = bytes.length;
  }
  return cachedTextDecoder.decode(bytes);
}
const cachedTextEncoder = new TextEncoder();
if (!("encodeInto" in cachedTextEncoder)) {
  cachedTextEncoder.encodeInto = function(arg, view) {
    const buf = cachedTextEncoder.encode(arg);
    view.set(buf);
    return {
      read: arg.length,
      written: buf.length
    };
  };
}
let WASM_VECTOR_LEN = 0;
let wasmModule, wasmInstance, wasm;
function __wbg_finalize_init(instance, module2) {
  wasmInstance = instance;
  wasm = instance.exports;
  wasmModule = module2;
  cachedBigUint64ArrayMemory0 = null;
  cachedDataViewMemory0 = null;
  cachedFloat64ArrayMemory0 = null;
  cachedUint32ArrayMemory0 = null;
  cachedUint8ArrayMemory0 = null;
  wasm.__wbindgen_start();
  return wasm;
}
async function __wbg_load(module2, imports) {
  if (typeof Response === "function" && module2 instanceof Response) {
    if (!module2.ok) {
      throw new Error(`failed to fetch Wasm: ${module2.status} ${module2.statusText} fetching '${module2.url}'`);
    }
    if (typeof WebAssembly.instantiateStreaming === "function") {
      try {
        return await WebAssembly.instantiateStreaming(module2, imports);
      } catch (e) {
        const validResponse = expectedResponseType(module2.type);
        if (validResponse && module2.headers.get("Content-Type") !== "application/wasm") {
          console.warn("`WebAssembly.instantiateStreaming` failed because your server does not serve Wasm with `application/wasm` MIME type. Falling back to `WebAssembly.instantiate` which is slower. Original error:\n", e);
        } else {
          throw e;
        }
      }
    }
    const bytes = await module2.arrayBuffer();
    return await WebAssembly.instantiate(bytes, imports);
  } else {
    const instance = await WebAssembly.instantiate(module2, imports);
    if (instance instanceof WebAssembly.Instance) {
      return { instance, module: module2 };
    } else {
      return instance;
    }
  }
  function expectedResponseType(type) {
    switch (type) {
      case "basic":
      case "cors":
      case "default":
        return true;
    }
    return false;
  }
}
function initSync(module2) {
  if (wasm !== void 0) return wasm;
  if (module2 !== void 0) {
    if (Object.getPrototypeOf(module2) === Object.prototype) {
      ({ module: module2 } = module2);
    } else {
      console.warn("using deprecated parameters for `initSync()`; pass a single object instead");
    }
  }
  const imports = __wbg_get_imports();
  if (!(module2 instanceof WebAssembly.Module)) {
    module2 = new WebAssembly.Module(module2);
  }
  const instance = new WebAssembly.Instance(module2, imports);
  return __wbg_finalize_init(instance, module2);
}
let __wbg_init_promise;
async function __wbg_init(module_or_path) {
  if (wasm !== void 0) return wasm;
  if (__wbg_init_promise === void 0) {
    __wbg_init_promise = __wbg_init_once(module_or_path);
    __wbg_init_promise.catch(() => {
      __wbg_init_promise = void 0;
    });
  }
  return __wbg_init_promise;
}
async function __wbg_init_once(module_or_path) {
  if (module_or_path !== void 0) {
    if (Object.getPrototypeOf(module_or_path) === Object.prototype) {
      ({ module_or_path } = module_or_path);
    } else {
      console.warn("using deprecated parameters for the initialization function; pass a single object instead");
    }
  }
  if (module_or_path === void 0) {
    module_or_path = new URL("meshring_wasm_bg.wasm", "");
  }
  const imports = __wbg_get_imports();
  if (typeof module_or_path === "string" || typeof Request === "function" && module_or_path instanceof Request || typeof URL === "function" && module_or_path instanceof URL) {
    module_or_path = fetch(module_or_path);
  }
  const { instance, module: module2 } = await __wbg_load(await module_or_path, imports);
  return __wbg_finalize_init(instance, module2);
}
