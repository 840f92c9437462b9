/** Text of a socket address, as announcements carry it: `203.0.113.5:9000`, `[2001:db8::1]:9000` (40 §5). */

function parsePort(text: string): number | undefined {
  if (!/^[0-9]{1,10}$/.test(text)) return undefined;
  const port = Number(text);
  return port <= 0xffff ? port : undefined;
}

function parseV4(text: string): number[] | undefined {
  const octets = text.split('.', 5);
  if (octets.length !== 4 || !octets.every((octet) => /^(?:0|[1-9][0-9]{0,2})$/.test(octet) && Number(octet) < 256)) {
    return undefined;
  }
  return octets.map(Number);
}

function parseGroups(text: string): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':', 9);
  for (const [i, part] of parts.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups.push(Number.parseInt(part, 16));
    else {
      const v4 = i === parts.length - 1 ? parseV4(part) : undefined;
      if (!v4) return undefined;
      const [a = 0, b = 0, c = 0, d = 0] = v4;
      groups.push(a * 256 + b, c * 256 + d);
    }
  }
  return groups;
}

function parseV6(text: string): number[] | undefined {
  const halves = text.split('::', 3);
  const [first = '', second] = halves;
  const head = parseGroups(first);
  if (!head || halves.length > 2) return undefined;
  if (second === undefined) return head.length === 8 ? head : undefined;
  const tail = parseGroups(second);
  // `::` stands for at least one group; an embedded IPv4 address ends the whole.
  if (!tail || first.includes('.') || head.length + tail.length > 7) return undefined;
  return [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail];
}

/** Longest run of at least two zero groups; the first one of equal length. */
function zeroRun(groups: readonly number[]): { from: number; length: number } {
  let best = { from: 0, length: 0 };
  for (let from = 0; from < 8; from++) {
    let length = 0;
    while (from + length < 8 && groups[from + length] === 0) length += 1;
    if (length > best.length) best = { from, length };
  }
  return best.length > 1 ? best : { from: 0, length: 0 };
}

function formatV6(groups: readonly number[]): string {
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) {
    const [high = 0, low = 0] = groups.slice(6);
    return `::ffff:${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
  }
  const hex = (part: readonly number[]) => part.map((group) => group.toString(16)).join(':');
  const { from, length } = zeroRun(groups);
  return length === 0 ? hex(groups) : `${hex(groups.slice(0, from))}::${hex(groups.slice(from + length))}`;
}

/** The canonical text of an address with its port, or `undefined` when it is none. */
export function canonicalSocketAddress(text: string): string | undefined {
  const match = /^\[([0-9a-fA-F:.]+)(?:%([0-9]{1,10}))?\]:([0-9]+)$/.exec(text);
  if (match) {
    const [, address = '', scope, portText = ''] = match;
    const groups = parseV6(address);
    const port = parsePort(portText);
    if (!groups || port === undefined || Number(scope ?? 0) > 0xffff_ffff) return undefined;
    const shownScope = scope === undefined || Number(scope) === 0 ? '' : `%${Number(scope)}`;
    return `[${formatV6(groups)}${shownScope}]:${port}`;
  }
  const colon = text.lastIndexOf(':');
  const octets = colon < 0 ? undefined : parseV4(text.slice(0, colon));
  const port = colon < 0 ? undefined : parsePort(text.slice(colon + 1));
  return octets && port !== undefined ? `${octets.join('.')}:${port}` : undefined;
}
