/**
 * The state of an object graph at one moment, to go back to. Whatever is reachable from the root
 * by properties, arrays, maps and sets is covered; what only closures and suspended generators
 * hold is not. Typed arrays are covered with their contents, unless `contents` says otherwise.
 *
 * Going back is done for each execution of an exploration. Most is as it was, and finding that out
 * is quicker than writing it again.
 */
export class Checkpoint {
  /** Objects by their constructor and the names of their properties. */
  private readonly shapes = new Map<object | null, Shape[]>();
  private readonly arrays: { readonly array: unknown[]; readonly saved: readonly unknown[] }[] = [];
  private readonly maps: { readonly map: Map<unknown, unknown>; readonly saved: readonly (readonly [unknown, unknown])[] }[] = [];
  private readonly sets: { readonly set: Set<unknown>; readonly saved: readonly unknown[] }[] = [];
  private readonly numbers: { readonly array: NumberArray; readonly saved: NumberArray }[] = [];
  /** What puts each shape back; made when it is wanted. */
  private restorers: (() => void)[] | null = null;

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
        if (values.length > 0) this.shapeOf(object).add(object, values);
        values.forEach(found);
      }
    }
  }

  /** Makes everything what it was. */
  restore(): void {
    this.restorers ??= [...this.shapes.values()].flat().map((shape) => shape.restorer());
    for (const restorer of this.restorers) restorer();
    for (const { array, saved } of this.arrays) {
      if (array.length !== saved.length) array.length = saved.length;
      for (let i = 0; i < saved.length; i++) if (array[i] !== saved[i]) array[i] = saved[i];
    }
    for (const { map, saved } of this.maps) {
      if (hasEntries(map, saved)) continue;
      // Emptying makes a new table, even of a map that is empty.
      if (map.size > 0) map.clear();
      for (const [key, value] of saved) map.set(key, value);
    }
    for (const { set, saved } of this.sets) {
      if (hasValues(set, saved)) continue;
      if (set.size > 0) set.clear();
      for (const value of saved) set.add(value);
    }
    for (const { array, saved } of this.numbers) array.set(saved);
  }

  private shapeOf(object: object): Shape {
    const prototype: object | null = Object.getPrototypeOf(object) as object | null;
    const keys = Object.keys(object);
    let shapes = this.shapes.get(prototype);
    if (shapes === undefined) this.shapes.set(prototype, (shapes = []));
    let shape = shapes.find((s) => s.hasKeys(keys));
    if (shape === undefined) shapes.push((shape = new Shape(keys)));
    return shape;
  }
}

/** Objects that have the same properties, and the values of those, object by object. */
class Shape {
  private readonly objects: object[] = [];
  private readonly values: unknown[] = [];

  constructor(private readonly keys: readonly string[]) {}

  hasKeys(keys: readonly string[]): boolean {
    return keys.length === this.keys.length && keys.every((key, i) => key === this.keys[i]);
  }

  add(object: object, values: readonly unknown[]): void {
    this.objects.push(object);
    this.values.push(...values);
  }

  /**
   * Gives the objects their values back. A function of the shape's own, with the properties named
   * in it: engines are several times slower where one line meets objects of all shapes.
   */
  restorer(): () => void {
    const { objects, values, keys } = this;
    const lines = keys.map((key) => {
      const property = `o[${JSON.stringify(key)}]`;
      return `if (${property} !== values[i]) ${property} = values[i];\ni++;\n`;
    });
    // eslint-disable-next-line @typescript-eslint/no-implied-eval -- of names of properties, quoted, and nothing else
    const restore = new Function("objects", "values", `"use strict";\nlet i = 0;\nfor (const o of objects) {\n${lines.join("")}}`) as (
      objects: readonly object[],
      values: readonly unknown[],
    ) => void;
    return () => restore(objects, values);
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

/** Whether a map has these entries in this order. */
function hasEntries(map: ReadonlyMap<unknown, unknown>, entries: readonly (readonly [unknown, unknown])[]): boolean {
  if (map.size !== entries.length) return false;
  if (map.size === 0) return true;
  let i = 0;
  for (const [key, value] of map) {
    const [savedKey, savedValue] = entries[i++]!;
    if (key !== savedKey || value !== savedValue) return false;
  }
  return true;
}

/** Whether a set has these values in this order. */
function hasValues(set: ReadonlySet<unknown>, values: readonly unknown[]): boolean {
  if (set.size !== values.length) return false;
  if (set.size === 0) return true;
  let i = 0;
  for (const value of set) if (value !== values[i++]) return false;
  return true;
}
