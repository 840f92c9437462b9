import type { LogStorage } from '../../src/redex/index.js';

/** Paths below a directory → hex; a path that ends in `/` is an empty directory. */
export type Image = Record<string, string | null>;

export const hex = (bytes: Uint8Array) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
export const unhex = (text: string) =>
  Uint8Array.from({ length: text.length / 2 }, (_, i) => Number.parseInt(text.slice(i * 2, i * 2 + 2), 16));

/** Writes an image below `directory`. */
export function writeImage(storage: LogStorage, directory: string, image: Image): void {
  storage.makeDirectory(directory);
  for (const [path, content] of Object.entries(image)) {
    const full = `${directory}/${path}`;
    if (path.endsWith('/')) {
      storage.makeDirectory(full.replace(/\/$/, ''));
      continue;
    }
    storage.makeDirectory(full.slice(0, full.lastIndexOf('/')));
    const file = storage.open(full, true);
    file?.truncate(0);
    file?.write(0, unhex(content ?? ''));
    file?.close();
  }
}

/** Reads what is below `directory`, without lock files. */
export function readImage(storage: LogStorage, directory: string, prefix = ''): Image {
  const image: Image = {};
  for (const entry of storage.list(`${directory}${prefix ? `/${prefix}` : ''}`) ?? []) {
    const path = prefix ? `${prefix}/${entry.name}` : entry.name;
    if (entry.isDirectory) {
      const inner = readImage(storage, directory, path);
      Object.assign(image, Object.keys(inner).length > 0 ? inner : { [`${path}/`]: null });
    } else if (entry.name !== '~lock') {
      const file = storage.open(`${directory}/${path}`, false);
      const bytes = new Uint8Array(file?.length() ?? 0);
      file?.read(0, bytes);
      file?.close();
      image[path] = hex(bytes);
    }
  }
  return image;
}
