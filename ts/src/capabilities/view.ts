/** What queries read out of tags (40 §4). */
import { separatorIndex } from '../capability-toolkit/index.js';
import { type GpuVendor, modalityFromWire, vendorFromWire, type WireModality } from './types.js';

/** A model as announced. */
export interface ModelView {
  id: string;
  family: string;
  contextLength: number;
  tokensPerSec: number;
  modalities: WireModality[];
  loaded: boolean;
}

/** What the filters need of a set of tags. */
export interface CapabilityView {
  readonly memoryGb: number;
  /** Whether any `hardware.gpu…` tag is there. */
  readonly hasGpuView: boolean;
  readonly gpuVendor: GpuVendor;
  readonly vramGb: number;
  /** By ascending index. */
  readonly models: readonly ModelView[];
  /** Ids that models have, by ascending index; a model without an id has none here. */
  readonly modelIds: readonly string[];
  /** Ids that tools have, by ascending index. */
  readonly toolIds: readonly string[];
}

const U32_MAX = 0xffff_ffff;

/** A decimal number with an optional `+` that fits 32 bits; otherwise 0. */
function u32(text: string): number {
  if (!/^\+?[0-9]+$/.test(text)) return 0;
  const value = Number(text);
  return value <= U32_MAX ? value : 0;
}

function index(text: string): number | undefined {
  if (!/^\+?[0-9]+$/.test(text)) return undefined;
  const value = Number(text);
  return value <= U32_MAX ? value : undefined;
}

/** Reads `<index>.<field>` behind a prefix; `undefined` when the index is no number. */
function member(key: string, prefix: string): { at: number; field: string } | undefined {
  const dot = key.indexOf('.', prefix.length);
  if (dot < 0) return undefined;
  const at = index(key.slice(prefix.length, dot));
  return at === undefined ? undefined : { at, field: key.slice(dot + 1) };
}

const emptyModel = (): ModelView => ({
  id: '',
  family: '',
  contextLength: 0,
  tokensPerSec: 0,
  modalities: [],
  loaded: false,
});

function setModelField(model: ModelView, field: string, value: string): void {
  if (field === 'id') model.id = value;
  else if (field === 'family') model.family = value;
  else if (field === 'context_length') model.contextLength = u32(value);
  else if (field === 'tokens_per_sec') model.tokensPerSec = u32(value);
  else if (field === 'modalities') model.modalities = value.split(',').map(modalityFromWire);
  else if (field === 'loaded') model.loaded = value === 'true';
}

/** An id without a value is none, and hides one of the same index that came before. */
function setId(ids: Map<number, string>, at: number, id: string | undefined): void {
  if (id === undefined) ids.delete(at);
  else ids.set(at, id);
}

const MODEL = 'software.model.';
const TOOL = 'software.tool.';

/** Of tags that say nothing about hardware and software. */
const EMPTY_VIEW: CapabilityView = {
  memoryGb: 0,
  hasGpuView: false,
  gpuVendor: 'unknown',
  vramGb: 0,
  models: [],
  modelIds: [],
  toolIds: [],
};

/** Reads tags in their wire order: of several values for one key the greatest tag wins. */
export function viewOf(sortedTags: readonly string[]): CapabilityView {
  if (!sortedTags.some((tag) => tag.startsWith('hardware.') || tag.startsWith('software.'))) return EMPTY_VIEW;
  let memoryGb = 0;
  let hasGpuView = false;
  let gpuVendor: GpuVendor = 'unknown';
  let vramGb = 0;
  const models = new Map<number, ModelView>();
  const modelIds = new Map<number, string>();
  const toolIds = new Map<number, string>();
  for (const tag of sortedTags) {
    if (!tag.startsWith('hardware.') && !tag.startsWith('software.')) continue;
    const cut = separatorIndex(tag);
    const key = cut < 0 ? tag : tag.slice(0, cut);
    const value = cut < 0 ? undefined : tag.slice(cut + 1);
    if (key === 'hardware.gpu' || key.startsWith('hardware.gpu.')) hasGpuView = true;
    if (key.startsWith(MODEL)) {
      const found = member(key, MODEL);
      if (!found) continue;
      // Any field makes a model, one without a value too: it reads as the empty text.
      const model = models.get(found.at) ?? emptyModel();
      models.set(found.at, model);
      setModelField(model, found.field, value ?? '');
      if (found.field === 'id') setId(modelIds, found.at, value);
    } else if (key.startsWith(TOOL)) {
      const found = member(key, TOOL);
      if (found?.field === 'tool_id') setId(toolIds, found.at, value);
    } else if (value === undefined) continue;
    else if (key === 'hardware.memory_gb') memoryGb = u32(value);
    else if (key === 'hardware.gpu.vram_gb') vramGb = u32(value);
    else if (key === 'hardware.gpu.vendor') gpuVendor = vendorFromWire(value);
  }
  const byIndex = <T>(map: Map<number, T>) => [...map].sort(([a], [b]) => a - b).map(([, value]) => value);
  return {
    memoryGb,
    hasGpuView,
    gpuVendor,
    vramGb,
    models: byIndex(models),
    modelIds: byIndex(modelIds),
    toolIds: byIndex(toolIds),
  };
}
