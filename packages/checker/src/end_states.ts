import { NO_PAGE, PG } from "@faultline/kernel";
import type { ChangeListener } from "./checkpoint.js";
import { Hash64, HashSet } from "./hash64.js";
import { unheardOf, type World } from "./world.js";

/** States remembered at most, so that memory does not grow with the executions. */
const STATES_MAX = 200_000;
/** Executions after which it must have been worth the effort: at least one in two ended like another. */
const TRIAL = 500;
/** On a larger machine comparing takes longer than what it saves. */
const PAGES_MAX = 256;

const WORDS_PER_FRAME = 1024;

/**
 * The states of a machine in which executions have ended that broke no rule, neither then nor in
 * the scenario's check and the exit that followed. Those depend on nothing but the state, so that
 * they need not be gone through again. A state is all that has changed since the threads started, and is
 * known again by a hash of 64 bits.
 */
export class EndStates extends Hash64 implements ChangeListener {
  private readonly states = new HashSet();
  private tried = 0;
  private met = 0;
  /** False when the end of the last execution holds what cannot be compared: functions. */
  private comparable = false;
  /** Objects that are new since the checkpoint, numbered as they are met. */
  private readonly fresh = new Map<object, number>();
  private readonly names = new Map<unknown, number>();

  constructor(private readonly world: World) {
    super();
  }

  /** The threads have ended: whether others have ended like this, and all was well. */
  known(): boolean {
    this.comparable = false;
    if (this.tried >= TRIAL && this.met * 2 < this.tried) return false;
    const { m } = this.world;
    if (m.memmap.nrPages > PAGES_MAX || (m.swapDisk !== null && !m.swapDisk.isIdle) || m.devices.some(({ engine }) => engine?.isIdle === false)) return false;
    this.tried++;
    this.comparable = true;
    this.begin();
    if (this.fresh.size > 0) this.fresh.clear();
    this.world.compare(this);
    this.tables();
    this.frames();
    if (!this.comparable || !this.states.has(this.lo, this.hi)) return false;
    this.met++;
    return true;
  }

  /** What followed has broken no rule. */
  add(): void {
    if (this.comparable && this.states.size < STATES_MAX) this.states.add(this.lo, this.hi);
  }

  changed(cell: number, value: unknown): void {
    this.word(cell);
    // The cell of a collection is the collection itself.
    if (cell < 0) this.contents(value as object);
    else this.value(value);
  }

  private tables(): void {
    const { pt } = this.world.m;
    pt.eachUsed((ptep, flags, pfn) => {
      this.word(ptep);
      this.word(flags);
      this.word(pfn);
    });
  }

  private frames(): void {
    const { memmap, ram, swap } = this.world.m;
    for (let page = 0; page < memmap.nrPages; page++) {
      if (memmap.isDevicePrivate(page) || memmap.refcount[memmap.folioOf(page)] === 0 || memmap.has(page, PG.table | PG.reserved)) continue;
      this.word(page);
      this.words(ram.words, page * WORDS_PER_FRAME, WORDS_PER_FRAME);
    }
    for (let slot = 1; slot < swap.slots; slot++) {
      if (swap.count[slot] === 0 && swap.cache[slot] === NO_PAGE) continue;
      const words = swap.wordsOf(slot);
      this.word(slot);
      this.words(words, 0, words.length);
    }
  }

  private words(words: ArrayLike<number>, start: number, length: number): void {
    for (let i = 0; i < length; i++) {
      const word = words[start + i]!;
      if (word === 0) continue;
      this.word(i);
      this.word(word);
    }
    this.word(length);
  }

  private value(value: unknown): void {
    switch (typeof value) {
      case "number":
        return this.number(value);
      case "string":
        return this.string(value);
      case "object":
        if (value === null) return this.word(1);
        return this.object(value);
      case "function":
        this.comparable = false;
        return;
      default:
        this.string(String(value));
    }
  }

  private object(object: object): void {
    const { fresh } = this;
    const id = this.world.idOf(object) ?? fresh.get(object);
    if (id !== undefined) return this.word(id);
    fresh.set(object, -1 - fresh.size);
    this.contents(object);
  }

  private contents(object: object): void {
    this.word(this.nameOf(object));
    if (ArrayBuffer.isView(object)) {
      const words = object as unknown as ArrayLike<number>;
      this.word(words.length);
      for (let i = 0; i < words.length; i++) this.number(words[i]!);
    } else if (Array.isArray(object) || object instanceof Set) {
      for (const item of object as Iterable<unknown>) this.value(item);
      this.word(2);
    } else if (object instanceof Map) {
      for (const [key, value] of object) {
        this.value(key);
        this.value(value);
      }
      this.word(3);
    } else {
      if (Symbol.iterator in object) this.comparable = false;
      const unheard = unheardOf(Object.getPrototypeOf(object) as object | null);
      for (const key in object) {
        if (unheard.has(key)) continue;
        this.string(key);
        this.value((object as Record<string, unknown>)[key]);
      }
      this.word(4);
    }
  }

  private nameOf({ constructor }: object): number {
    let name = this.names.get(constructor);
    if (name === undefined) this.names.set(constructor, (name = this.names.size));
    return name;
  }
}
