/** Puts an object's properties back: `values` has them from `at` on. */
type Restorer = (object: object, values: readonly unknown[], at: number) => void;

/**
 * The state of an object graph at one moment, to go back to. Whatever is reachable from the root
 * by properties, arrays, maps and sets is covered; what only closures and suspended generators
 * hold is not. Typed arrays are covered with their contents, unless `contents` says otherwise.
 */
export class Checkpoint {
  private readonly objects: { readonly object: object; readonly restore: Restorer; readonly at: number }[] = [];
  /** The properties of all objects, one after the other. */
  private readonly values: unknown[] = [];
  private readonly arrays: { readonly array: unknown[]; readonly saved: readonly unknown[] }[] = [];
  private readonly maps: { readonly map: Map<unknown, unknown>; readonly saved: readonly (readonly [unknown, unknown])[] }[] = [];
  private readonly sets: { readonly set: Set<unknown>; readonly saved: readonly unknown[] }[] = [];
  private readonly numbers: { readonly array: NumberArray; readonly saved: NumberArray }[] = [];

  /**
   * @param skip objects that are left alone, with all that only they reach
   * @param contents for typed arrays: false to leave the contents alone
   */
  constructor(root: object, skip: Iterable<object>, contents: (array: NumberArray) => boolean) {
    const seen = new Set<object>(skip);
    const pending: object[] = [root];
    const restorers = new Map<string, Restorer>();
    const found = (value: unknown): void => {
      if (typeof value === "object" && value !== null && !seen.has(value)) {
        seen.add(value);
        pending.push(value);
      }
    };
    seen.add(root);
    for (let object = pending.pop(); object !== undefined; object = pending.pop()) {
      if (isNumberArray(object)) {
        if (contents(object) && object.length > 0) this.numbers.push({ array: object, saved: object.slice() });
      } else if (Array.isArray(object)) {
        this.arrays.push({ array: object, saved: [...(object as unknown[])] });
        object.forEach(found);
      } else if (object instanceof Map) {
        this.maps.push({ map: object, saved: [...object] });
        for (const entry of object) entry.forEach(found);
      } else if (object instanceof Set) {
        this.sets.push({ set: object, saved: [...object] });
        object.forEach(found);
      } else if (!isOpaque(object)) this.captureObject(object, restorers, found);
    }
  }

  private captureObject(object: object, restorers: Map<string, Restorer>, found: (value: unknown) => void): void {
    const keys = Object.keys(object);
    if (keys.length === 0) return;
    // By class too, though the keys would do: what has one shape stays fast.
    const shape = `${object.constructor?.name} ${keys.join()}`;
    let restore = restorers.get(shape);
    if (restore === undefined) restorers.set(shape, (restore = restorerFor(keys)));
    this.objects.push({ object, restore, at: this.values.length });
    for (const value of Object.values(object)) {
      this.values.push(value);
      found(value);
    }
  }

  /** Makes everything what it was. */
  restore(): void {
    const { values } = this;
    for (const { object, restore, at } of this.objects) restore(object, values, at);
    for (const { array, saved } of this.arrays) {
      if (array.length !== saved.length) array.length = saved.length;
      for (let i = 0; i < saved.length; i++) array[i] = saved[i];
    }
    for (const { map, saved } of this.maps) {
      if (map.size === 0 && saved.length === 0) continue;
      map.clear();
      for (const [key, value] of saved) map.set(key, value);
    }
    for (const { set, saved } of this.sets) {
      if (set.size === 0 && saved.length === 0) continue;
      set.clear();
      for (const value of saved) set.add(value);
    }
    for (const { array, saved } of this.numbers) array.set(saved);
  }
}

/**
 * A function that assigns these properties. One made for the shape is ten times as fast as a loop
 * over the names, which every shape goes through; where a page's policy forbids making one, the
 * loop does the same.
 */
function restorerFor(keys: readonly string[]): Restorer {
  const assignments = keys.map((key, i) => `object[${JSON.stringify(key)}] = values[at + ${i}];`);
  try {
    // eslint-disable-next-line @typescript-eslint/no-implied-eval -- of property names alone
    return new Function("object", "values", "at", assignments.join("\n")) as Restorer;
  } catch {
    return (object, values, at) => {
      const target = object as Record<string, unknown>;
      for (let i = 0; i < keys.length; i++) target[keys[i]!] = values[at + i];
    };
  }
}

export type NumberArray = Int32Array | Uint32Array | Int16Array | Uint16Array | Int8Array | Uint8Array | Float64Array;

function isNumberArray(object: object): object is NumberArray {
  return ArrayBuffer.isView(object) && !(object instanceof DataView);
}

/** Objects of the host, which have no properties of their own to save. */
function isOpaque(object: object): boolean {
  const name = Object.prototype.toString.call(object);
  return object instanceof ArrayBuffer || object instanceof DataView || name.includes("WebAssembly") || name.includes("Generator");
}
