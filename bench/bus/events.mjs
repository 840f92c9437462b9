// Events of the bus benches: 4,096 distinct JSON texts of one exact size, because sharding goes by content.
export const DISTINCT = 4096;

/** JSON texts of `size` bytes each, all different, spread over the shards. */
export function texts(size) {
  return Array.from({ length: DISTINCT }, (_, i) => {
    // 9 bytes: {"t":abcd is no JSON, so a four-digit number without leading zero stands in: {"t":1234} has 10; [12345] has 7.
    if (size === 9) return `{"":${1000 + i}}`;
    const head = `{"id":${i},"kind":${i % 7},"sensor":"s${i % 64}","text":"`;
    return `${head}${'abcdefghijklmnopqrstuvwxyz0123456789'
      .repeat(20)
      .slice(i % 36)
      .slice(0, size - head.length - 2)}"}`;
  });
}

/** The same as objects, of about the same size. */
export const objects = (size) => texts(size).map((text) => JSON.parse(text));
