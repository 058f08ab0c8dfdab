/** Hears what has changed since a checkpoint, in an order that is always the same. */
export interface ChangeListener {
  /** A property, numbered, is something else now; or has, where it is a collection, something else in it. */
  changed(cell: number, value: unknown): void;
}

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
  private readonly collections: Collection[] = [];
  /** By kind, made when they are wanted. */
  private finders: (() => void)[] = [];
  /** By object that was saved: its number. */
  private readonly ids = new Map<object, number>();
  /** By shape, made when they are wanted. */
  private comparers: Comparer[] | null = null;
  private undoers: Undoer[] = [];
  /** By shape: the objects that `compare` has found to differ, each by its place. */
  private readonly dirty: number[][] = [];
  private readonly dirtyCollections: Collection[] = [];

  /**
   * @param skip objects that are left alone, with all that only they reach
   * @param contents for typed arrays: false to leave the contents alone
   * @param unheard names of properties that `compare` does not tell of, by the prototype of what has them
   */
  constructor(
    root: object,
    skip: Iterable<object>,
    contents: (array: NumberArray) => boolean,
    private readonly unheard: (prototype: object | null) => ReadonlySet<string> = () => new Set(),
  ) {
    const { ids } = this;
    for (const object of skip) ids.set(object, ids.size);
    const pending: object[] = [];
    const found = (value: unknown): void => {
      if (typeof value !== "object" || value === null || ids.has(value)) return;
      ids.set(value, ids.size);
      pending.push(value);
    };
    found(root);
    for (let object = pending.pop(); object !== undefined; object = pending.pop()) {
      if (isNumberArray(object)) {
        if (contents(object) && object.length > 0) this.keep(new SavedNumbers(object));
      } else if (Array.isArray(object)) {
        this.keep(new SavedArray(object));
        object.forEach(found);
      } else if (object instanceof Map) {
        this.keep(new SavedMap(object));
        for (const entry of object) entry.forEach(found);
      } else if (object instanceof Set) {
        this.keep(new SavedSet(object));
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
    this.compare(NOBODY);
    this.undo();
  }

  /** The first half of `restore`: finds, and tells, what is not as it was. */
  compare(listener: ChangeListener): void {
    const { dirty, dirtyCollections } = this;
    this.comparers ??= this.compile();
    for (let i = 0; i < this.comparers.length; i++) this.comparers[i]!(listener, dirty[i]!);
    for (let i = 0; i < this.finders.length; i++) this.finders[i]!();
    for (const collection of dirtyCollections) listener.changed(collection.cell, collection.object);
  }

  /** The second half: nothing has changed since the first. */
  undo(): void {
    const { dirty, dirtyCollections } = this;
    for (let i = 0; i < dirty.length; i++) {
      if (dirty[i]!.length === 0) continue;
      this.undoers[i]!(dirty[i]!);
      dirty[i]!.length = 0;
    }
    for (const collection of dirtyCollections) collection.putBack();
    dirtyCollections.length = 0;
  }

  /** The number of an object that was saved or left alone; undefined for one that is new. */
  idOf(object: object): number | undefined {
    return this.ids.get(object);
  }

  private keep(collection: Collection): void {
    collection.cell = -1 - this.collections.length;
    this.collections.push(collection);
  }

  private compile(): Comparer[] {
    this.finders = findersOf(this.collections, this.dirtyCollections);
    let cells = 0;
    const comparers: Comparer[] = [];
    for (const [prototype, shapes] of this.shapes) {
      for (const shape of shapes) {
        comparers.push(shape.comparer(cells, this.unheard(prototype)));
        cells += shape.cells;
        this.undoers.push(shape.undoer());
        this.dirty.push([]);
      }
    }
    return comparers;
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

const NOBODY: ChangeListener = { changed: () => {} };

/** Tells of each value that differs, and lists the objects by their places. */
type Comparer = (listener: ChangeListener, dirty: number[]) => void;
/** Gives the objects in these places their values back. */
type Undoer = (dirty: readonly number[]) => void;

/**
 * Objects that have the same properties, and the values of those, object by object. They are gone
 * through by functions of the shape's own, with the properties named in them: engines are several
 * times slower where one line meets objects of all shapes.
 */
class Shape {
  private readonly objects: object[] = [];
  private readonly values: unknown[] = [];

  constructor(private readonly keys: readonly string[]) {}

  hasKeys(keys: readonly string[]): boolean {
    return keys.length === this.keys.length && keys.every((key, i) => key === this.keys[i]);
  }

  /** Values that are kept, of all objects. */
  get cells(): number {
    return this.values.length;
  }

  add(object: object, values: readonly unknown[]): void {
    this.objects.push(object);
    this.values.push(...values);
  }

  /** @param first the number of the first value */
  comparer(first: number, unheard: ReadonlySet<string>): Comparer {
    const { objects, values, keys } = this;
    const lines = keys.map((key) => {
      const property = `o[${JSON.stringify(key)}]`;
      const tell = unheard.has(key) ? "" : `listener.changed(${first} + i, ${property});`;
      return `if (${property} !== values[i]) { differs = true; ${tell} }\ni++;\n`;
    });
    const body = `let i = 0;\nfor (let n = 0; n < objects.length; n++) {\nconst o = objects[n];\nlet differs = false;\n${lines.join("")}if (differs) dirty.push(n);\n}`;
    const compare = compiled("objects", "values", "listener", "dirty", body);
    return (listener, dirty) => compare(objects, values, listener, dirty);
  }

  undoer(): Undoer {
    const { objects, values, keys } = this;
    const lines = keys.map((key, at) => {
      const property = `o[${JSON.stringify(key)}]`;
      return `if (${property} !== values[i + ${at}]) ${property} = values[i + ${at}];\n`;
    });
    const undo = compiled("objects", "values", "dirty", `for (const n of dirty) {\nconst o = objects[n];\nconst i = n * ${keys.length};\n${lines.join("")}}`);
    return (dirty) => undo(objects, values, dirty);
  }
}

/** A function of names of properties, quoted, and nothing else that is not written here. The last word is its body. */
function compiled(...words: string[]): (...args: unknown[]) => void {
  const body = words.pop()!;
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- see above
  return new Function(...words, `"use strict";\n${body}`) as (...args: unknown[]) => void;
}

/** Something with contents, and those as they were. */
interface Collection {
  readonly object: object;
  readonly saved: ArrayLike<unknown>;
  /** What the listener knows it by. */
  cell: number;
  /** Those of one kind hold the same sort of values, and are gone through by a function of their own. */
  readonly kind: string;
  /** Of maps and sets. */
  differs?(): boolean;
  putBack(): void;
}

/** For each kind, who adds the collections that differ to `dirty`. */
function findersOf(collections: readonly Collection[], dirty: Collection[]): (() => void)[] {
  const kinds = new Map<string, Collection[]>();
  for (const collection of collections) {
    const alike = kinds.get(collection.kind);
    if (alike === undefined) kinds.set(collection.kind, [collection]);
    else alike.push(collection);
  }
  return [...kinds].map(([kind, alike]) => {
    // The name of the kind makes it another function: engines share what they learn between those of the same text.
    const find = compiled("alike", "dirty", `// ${kind}\nfor (let n = 0; n < alike.length; n++) {\nconst c = alike[n];\n${differs(kind)}\n}`);
    return () => find(alike, dirty);
  });
}

/** Statements that add the collection `c` to `dirty` if it differs. */
function differs(kind: string): string {
  if (kind.startsWith("empty")) return `if (c.object.${kind === "empty array" ? "length" : "size"} !== 0) dirty.push(c);`;
  if (kind === "map" || kind === "set") return "if (c.differs()) dirty.push(c);";
  return "const { object, saved } = c;\nlet i = object.length === saved.length ? 0 : -1;\nif (i === 0) while (i < saved.length && object[i] === saved[i]) i++;\nif (i !== saved.length) dirty.push(c);";
}

class SavedNumbers implements Collection {
  readonly saved: NumberArray;
  cell = 0;

  constructor(readonly object: NumberArray) {
    this.saved = object.slice();
  }

  get kind(): string {
    return this.object.constructor.name;
  }

  putBack(): void {
    this.object.set(this.saved);
  }
}

class SavedArray implements Collection {
  readonly saved: readonly unknown[];
  cell = 0;

  constructor(readonly object: unknown[]) {
    this.saved = [...object];
  }

  get kind(): string {
    if (this.saved.length === 0) return "empty array";
    return this.saved.every((value) => typeof value === "number") ? "numbers" : "array";
  }

  putBack(): void {
    const { object, saved } = this;
    if (object.length !== saved.length) object.length = saved.length;
    for (let i = 0; i < saved.length; i++) if (object[i] !== saved[i]) object[i] = saved[i];
  }
}

class SavedMap implements Collection {
  readonly saved: readonly (readonly [unknown, unknown])[];
  cell = 0;

  constructor(readonly object: Map<unknown, unknown>) {
    this.saved = [...object];
  }

  get kind(): string {
    return this.saved.length === 0 ? "empty map" : "map";
  }

  /** In order, too. */
  differs(): boolean {
    const { object, saved } = this;
    if (object.size !== saved.length) return true;
    let i = 0;
    for (const [key, value] of object) {
      const [savedKey, savedValue] = saved[i++]!;
      if (key !== savedKey || value !== savedValue) return true;
    }
    return false;
  }

  putBack(): void {
    const { object, saved } = this;
    // Emptying makes a new table, even of a map that is empty.
    if (object.size > 0) object.clear();
    for (const [key, value] of saved) object.set(key, value);
  }
}

class SavedSet implements Collection {
  readonly saved: readonly unknown[];
  cell = 0;

  constructor(readonly object: Set<unknown>) {
    this.saved = [...object];
  }

  get kind(): string {
    return this.saved.length === 0 ? "empty set" : "set";
  }

  /** In order, too. */
  differs(): boolean {
    const { object, saved } = this;
    if (object.size !== saved.length) return true;
    let i = 0;
    for (const value of object) if (value !== saved[i++]) return true;
    return false;
  }

  putBack(): void {
    const { object, saved } = this;
    if (object.size > 0) object.clear();
    for (const value of saved) object.add(value);
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
