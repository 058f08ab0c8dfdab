import { Errno } from "@faultline/kernel";
import { SYSCALLS } from "../table.js";
import { SURFACES } from "./index.js";
import type { Accepted, Change, Operand, Surface } from "./surface.js";

/** One call that is made to see whether the table tells the truth. */
export interface Trial {
  readonly name: string;
  readonly number: number;
  readonly args: readonly Operand[];
  /** 0 for success. */
  readonly expected: Errno | 0;
  /** What of the table it is about, for reports. */
  readonly about: string;
}

/** Values that mean nothing to any call. */
const STRANGE = [-1, 77, 12345, 0x7fff_ffff];

function changed(args: readonly Operand[], change: Change): Operand[] {
  const result = [...args];
  for (const [index, value] of Object.entries(change)) result[Number(index)] = value;
  return result;
}

function hexOf(value: number): string {
  return `0x${(value >>> 0).toString(16)}`;
}

/** Every value that the argument may have on its own. */
export function acceptedValues({ accepts, besides }: Accepted): number[] {
  return [...accepts.map((one) => (typeof one === "number" ? one : one[0])), ...besides];
}

function* ofArgument(example: readonly Operand[], gives: Errno | 0, index: number, accepted: Accepted, named: readonly number[]): Generator<Omit<Trial, "name" | "number">> {
  for (const one of accepted.accepts) {
    const [value, needs] = typeof one === "number" ? [one, {}] : one;
    yield { args: changed(example, { ...needs, [index]: value }), expected: gives, about: `argument ${index}: ${hexOf(value)} is known` };
  }
  const known = acceptedValues(accepted);
  const expected = accepted.other === 0 ? gives : accepted.other;
  if (accepted.kind === "values") {
    const others = [...STRANGE, ...named].filter((value) => !known.includes(value));
    for (const value of others) yield { args: changed(example, { [index]: value }), expected, about: `argument ${index}: ${hexOf(value)} is not known` };
    return;
  }
  const all = known.reduce((sum, value) => sum | value, 0);
  const base = example[index] as number;
  for (let bit = 0; bit < 32; bit++) {
    if ((all & (1 << bit)) !== 0) continue;
    yield { args: changed(example, { [index]: (base | (1 << bit)) >>> 0 }), expected, about: `argument ${index}: bit ${hexOf(1 << bit)} is not known` };
  }
}

function* ofCall(surface: Surface, formats: readonly { readonly names?: readonly (readonly [number, string])[] }[]): Generator<Omit<Trial, "name" | "number">> {
  const { example } = surface;
  if (example === null) return;
  const gives = surface.gives ?? 0;
  yield { args: example, expected: gives, about: "the example" };
  for (const [index, accepted] of Object.entries(surface.takes ?? {})) {
    const named = (formats[Number(index)]?.names ?? []).map(([value]) => value);
    yield* ofArgument(example, gives, Number(index), accepted, named);
  }
  for (const [expected, about, change] of surface.refuses ?? []) yield { args: changed(example, change), expected, about };
}

/** Everything that the table says and a program can try. */
export function surfaceTrials(): Trial[] {
  const trials: Trial[] = [];
  for (const [number, { name, args, handler }] of SYSCALLS) {
    const surface = SURFACES[name];
    if (handler === null || surface === undefined) continue;
    for (const trial of ofCall(surface, args)) trials.push({ name, number, ...trial });
  }
  return trials;
}

/** Where programs/refusals.c puts the data, and how much fits. */
const DATA = 0x10_0030_0000;
const DATA_BYTES_MAX = 0x20000;

/** What programs/refusals.c reads; `numberOf` gives the number of a call on the machine that runs it, null where it has none. */
export function surfaceImage(trials: readonly Trial[], numberOf: (trial: Trial) => number): Uint8Array {
  const data: number[] = [];
  const strings = new Map<string, number>();
  const place = (bytes: readonly number[]): number => {
    const key = String(bytes);
    const known = strings.get(key);
    if (known !== undefined) return known;
    while (data.length % 8 !== 0) data.push(0);
    const address = DATA + data.length;
    data.push(...bytes);
    strings.set(key, address);
    return address;
  };
  const bytesOf = (words: readonly number[]): number[] => {
    const view = new DataView(new ArrayBuffer(words.length * 8));
    words.forEach((word, i) => {
      view.setBigInt64(i * 8, BigInt(word), true);
    });
    return [...new Uint8Array(view.buffer)];
  };
  const operand = (value: Operand): number => {
    if (typeof value === "number") return value;
    return place(typeof value === "string" ? [...value, "\0"].map((c) => c.charCodeAt(0)) : bytesOf(value));
  };
  const calls = trials.map((trial) => [numberOf(trial), ...Array.from({ length: 6 }, (_, i) => operand(trial.args[i] ?? 0))]);
  while (data.length % 8 !== 0) data.push(0);
  if (data.length > DATA_BYTES_MAX) throw new Error(`${data.length} bytes of strings and structures are more than programs/refusals.c has room for`);
  return Uint8Array.from([...bytesOf([data.length]), ...data, ...calls.flatMap(bytesOf)]);
}
