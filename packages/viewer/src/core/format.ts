/** "0x80006" */
export function hex(n: number): string {
  return `0x${n.toString(16)}`;
}

/** "0x3ff7fff000" */
export function address(vpn: number): string {
  return hex(vpn * 4096);
}

/** Machine time: "1.060 µs". */
export function duration(ns: number): string {
  if (ns < 1e3) return `${ns} ns`;
  if (ns < 1e6) return `${(ns / 1e3).toFixed(3)} µs`;
  if (ns < 1e9) return `${(ns / 1e6).toFixed(3)} ms`;
  return `${(ns / 1e9).toFixed(6)} s`;
}

export function size(pages: number): string {
  if (pages < 256) return `${pages * 4} KiB`;
  if (pages < 1 << 18) return `${round(pages / 256)} MiB`;
  return `${round(pages / (1 << 18))} GiB`;
}

function round(n: number): string {
  return Number.isInteger(n) ? String(n) : n.toFixed(1);
}

/** The word of a page number or an address that somebody has typed; null for none. */
export function parseAddress(text: string): number | null {
  const match = /^\s*(?:0x)?([0-9a-f]{1,10})\s*$/i.exec(text);
  const vpn = match === null ? Infinity : Math.floor(parseInt(match[1]!, 16) / 4096);
  return vpn < 2 ** 26 ? vpn : null;
}
