/** Every name of the published packages is exported, or stands in the list of those that are still missing. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import names from '../vectors/exports.json';
import missing from './missing.json';

const root = join(import.meta.dirname, '..', '..', '..');
const require = createRequire(join(root, 'package.json'));
const declared = (module: string) => new Set(typeNames(join(root, 'dist', `${module}.d.ts`)));

/** Names that a declaration file exports, its re-exports included. */
function typeNames(file: string, seen = new Set<string>()): string[] {
  if (seen.has(file)) return [];
  seen.add(file);
  const text = readFileSync(file, 'utf8');
  const found: string[] = [];
  for (const match of text.matchAll(
    /export (?:declare )?(?:abstract )?(?:class|interface|type|function|const|enum) (\w+)/g,
  )) {
    found.push(match[1] as string);
  }
  for (const match of text.matchAll(/export (?:type )?\{([^}]*)\}/g)) {
    for (const part of (match[1] as string).split(',')) {
      const name = part
        .trim()
        .replace(/^type /, '')
        .split(/\s+as\s+/)
        .pop();
      if (name) found.push(name);
    }
  }
  for (const match of text.matchAll(/export \* from '(\.[^']+)'/g)) {
    found.push(...typeNames(join(file, '..', (match[1] as string).replace(/\.js$/, '.d.ts')), seen));
  }
  return found;
}

const index = require('meshring') as Record<string, unknown>;
const indexTypes = declared('index');

describe('the index', () => {
  it('lacks exactly the names of the list of missing ones', () => {
    const absent = Object.values(names.modules).flatMap((module) => [
      ...module.values.filter((name) => index[name] === undefined),
      ...module.types.filter((name) => !indexTypes.has(name)),
    ]);
    expect(absent.sort()).toEqual([...missing.index].sort());
  });

  it('exports nothing else but our own additions', () => {
    const known = new Set(Object.values(names.modules).flatMap((module) => module.values));
    expect(
      Object.keys(index)
        .filter((name) => !known.has(name))
        .sort(),
    ).toEqual([...missing.ours].sort());
  });
});

describe('modules', () => {
  it.each(Object.entries(names.modules))('%s exports its names under its own sub-path', (module, { values, types }) => {
    const absent = new Set(missing.index);
    const present = values.filter((name) => !absent.has(name));
    if (present.length === 0 && types.every((name) => absent.has(name))) {
      expect(missing.modules).toContain(module);
      return;
    }
    expect(missing.modules).not.toContain(module);
    const door = require(`meshring/${module}`) as Record<string, unknown>;
    expect(present.filter((name) => door[name] !== index[name])).toEqual([]);
    const own = declared(module);
    expect(types.filter((name) => !absent.has(name) && !own.has(name))).toEqual([]);
    // The published package has no exports map: its files are also reached this way.
    expect(require(`meshring/dist/${module}`)).toBe(door);
    expect(require(`meshring/dist/${module}.js`)).toBe(door);
  });
});

describe('the core', () => {
  it('lacks exactly the names of the list of missing ones', () => {
    const core = require('meshring/core') as Record<string, unknown>;
    expect(names.core.values.filter((name) => core[name] === undefined).sort()).toEqual([...missing.core].sort());
  });
});
