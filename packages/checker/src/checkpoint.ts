/**
 * The state of an object graph at one moment, to go back to. Whatever is reachable from the root
 * by properties, arrays, maps and sets is covered; what only closures and suspended generators
 * hold is not. Typed arrays are covered with their contents, unless `contents` says otherwise.
 */
export class Checkpoint {
  /** With copies of their own properties. */
  private readonly objects: { readonly object: object; readonly saved: object }[] = [];
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
      } else if (!isOpaque(object)) {
        const values: unknown[] = Object.values(object);
        if (values.length > 0) this.objects.push({ object, saved: { ...object } });
        values.forEach(found);
      }
    }
  }

  /** Makes everything what it was. */
  restore(): void {
    for (const { object, saved } of this.objects) Object.assign(object, saved);
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

export type NumberArray = Int32Array | Uint32Array | Int16Array | Uint16Array | Int8Array | Uint8Array | Float64Array;

function isNumberArray(object: object): object is NumberArray {
  return ArrayBuffer.isView(object) && !(object instanceof DataView);
}

/** Objects of the host, which have no properties of their own to save. */
function isOpaque(object: object): boolean {
  const name = Object.prototype.toString.call(object);
  return object instanceof ArrayBuffer || object instanceof DataView || name.includes("WebAssembly") || name.includes("Generator");
}
