/** Order of strings by their UTF-8 bytes. */

const LONE_SURROGATE = /[\ud800-\udfff]/gu;

/** The text with lone surrogates, which have no UTF-8 form, replaced by U+FFFD. */
export function wellFormed(text: string): string {
  return text.replace(LONE_SURROGATE, '\ufffd');
}

/** Negative, 0 or positive. UTF-16 order differs from it only where surrogates meet U+E000 and above. */
export function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

function rank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}

/** Distinct texts in order. */
export function sortedDistinct(texts: readonly string[]): string[] {
  for (let i = 1; i < texts.length; i++) {
    if (compareUtf8(texts[i - 1] ?? '', texts[i] ?? '') >= 0) return [...new Set(texts)].sort(compareUtf8);
  }
  return [...texts];
}
