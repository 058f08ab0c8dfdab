import { setI64, structBytes } from "../user.js";

/** What somebody has used: times in nanoseconds, faults, and the largest number of resident pages. */
export interface Usage {
  readonly userNs: number;
  readonly systemNs: number;
  readonly minor: number;
  readonly major: number;
  readonly maxRssPages: number;
}

/** A struct rusage; there is no I/O, and no context switch is counted. */
export function rusageBytes({ userNs, systemNs, minor, major, maxRssPages }: Usage): Uint8Array {
  const view = new DataView(new ArrayBuffer(144));
  [userNs, systemNs].forEach((ns, i) => {
    setI64(view, i * 16, Math.floor(ns / 1e9));
    setI64(view, i * 16 + 8, Math.floor((ns % 1e9) / 1000));
  });
  setI64(view, 32, maxRssPages * 4);
  setI64(view, 64, minor);
  setI64(view, 72, major);
  return structBytes(view);
}
