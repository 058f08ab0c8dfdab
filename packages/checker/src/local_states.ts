import {
  AddressSpace,
  conflicts,
  NO_PAGE,
  Op,
  RwSem,
  Space,
  SPACE_OF,
  SpinLock,
  type Executor,
  type Machine,
  type Mm,
  type Task,
  TaskState,
  type Vma,
} from "@faultline/kernel";
import type { CallFrames, Seen } from "./call_frames.js";
import { HashChains } from "./hash64.js";
import type { SharedState, SharedStateListener } from "./shared_state.js";

/** How a step treats an object: the order of two steps matters unless `COMMUTES` says otherwise. */
export enum Kind {
  Read,
  /** One more reference. Or a flush: another changes nothing. */
  Add,
  /** One reference less, and not the last. */
  Take,
  Write,
}

/** By kind: bits of the kinds that conflict with it. */
export const CONFLICTS: readonly number[] = [0b1110, 0b1101, 0b1011, 0b1111];

/** An access of a step: 4 times the number of the object, which no other object has, plus its kind. */
export type StepAccess = number;

export function objectOf(access: StepAccess): number {
  return Math.floor(access / KINDS);
}

export function kindOf(access: StepAccess): Kind {
  return access % KINDS;
}

const KINDS = 4;

/** Numbers of objects: those of one space are so far apart. */
const SPACES = 64;
/** Ranges of an address space in `tableObject`. */
const RANGES_PER_MM = 2 ** 17;
/** Run queues of executors, in the space of tasks. */
const QUEUES = 1_000_000;
/** What the scenario's threads share besides memory. */
const SCENARIO_SPACE = SPACES - 1;
/** More tasks than this in one scenario are not told apart. */
const TASKS_MAX = 64;
const WORDS_PER_FRAME = 1024;

/** Operations that change their object without looking at it. */
const BLIND: ReadonlySet<Op> = new Set([Op.FrameWrite, Op.SwapWrite, Op.TlbFill, Op.TlbFlush, Op.TlbBatchSet, Op.SpinUnlock, Op.FolioUnlock, Op.VmaRelease, Op.NotifierEnd]);

/** What nobody can be before: who wants the lock waits until then, and knows nothing of the wait afterwards. */
const RELEASES: ReadonlySet<Op> = new Set([Op.SpinUnlock, Op.SemRelease, Op.VmaRelease]);

const LOCKS: ReadonlySet<Op> = new Set([Op.SpinLock, Op.SemRead, Op.SemWrite]);

/** What there is to say of VMAs is in `key`, whoever has touched them: that changes with what is done to others. */
const VMA_SPACES: ReadonlySet<number> = new Set([Space.VmaTree, Space.VmaLock, Space.VmaSeq]);

const NONE = -1;
const PAGE_SPACES: ReadonlySet<number> = new Set([Space.FolioFlags, Space.RefCount, Space.MapCount]);
const UNUSED = { lo: 0, hi: 0 };

/** What an object held when it was first touched in this execution, and holds now. */
interface ObjectState {
  readonly key: number;
  readonly space: number;
  readonly object: number;
  readonly firstLo: number;
  readonly firstHi: number;
  lo: number;
  hi: number;
}

/** Locks that guard nothing but what has operations of its own. What others guard is not known, unless it is spelt out below. */
const TRANSPARENT_LOCKS = new Set(["ptl", "page_table_lock", "dmirror", "map_changing_lock"]);

/** Locks that guard VMAs. */
const VMA_LOCKS = new Set(["mmap_lock", "i_mmap_rwsem", "anon_vma"]);

/**
 * Hashes of the state of a machine, by which executions are recognised that have come to the same
 * point in different ways. A state is what each task is about to do with what it knows, and what
 * every object holds that steps have touched.
 *
 * What a task knows is the chain of what it was shown, call by call (`CallFrames`): threads are
 * deterministic. What an operation shows, and what an object holds, is what code can read of it
 * behind that operation (`observe`). Of objects for which that is not spelt out, it is which steps they have
 * been through: then executions count as the same only when those had the same order.
 */
export class LocalStates implements Seen, SharedStateListener {
  /** Accesses of the step that runs now, if they are to be known. */
  accesses: StepAccess[] = [];
  recording = false;
  /** Objects that it may have changed. */
  private written: ObjectState[] = [];
  /** Who runs, by number. */
  executor = 0;
  /** Its task, by the number of its chain. */
  slot = 0;
  /** The kernel's code runs, rather than somebody who looks on. */
  running = false;

  private readonly chains = new HashChains(TASKS_MAX);
  /** Tasks by their chain. */
  private readonly tasks: Task[] = [];
  /* What each task's last step began with: a lock that it went on to wait for, say. And what it knew before. */
  private readonly beganOp = new Int32Array(TASKS_MAX);
  private readonly beganObject = new Float64Array(TASKS_MAX);
  private readonly beganLo = new Int32Array(TASKS_MAX);
  private readonly beganHi = new Int32Array(TASKS_MAX);
  /* What each task has announced, and not done yet; -1 for nothing. */
  private readonly pendingOp = new Int32Array(TASKS_MAX);
  private readonly pendingObject = new Float64Array(TASKS_MAX);
  /** What each task's last `Retries.mark` was, or -1: whether anybody has run since. */
  private readonly marks = new Float64Array(TASKS_MAX);
  /** What objects were when they were first touched in this execution, and are, two words each. */
  private readonly objects = new Map<number, ObjectState>();
  /** The sum over all objects of what has become of them. */
  private shared = 0;
  private sharedToo = 0;
  private readonly values = new HashChains(1);
  /** Frames that are free where executions start: the one before has left something in them. */
  private readonly unused: Uint8Array;
  /** Pages that were no folio's first one where executions start. */
  private readonly tails: Uint8Array;
  /** Slots of swap that were unused. */
  private readonly unusedSlots: Uint8Array;

  /* The map of swap slots and the swap cache: as they are, and as the kernel is given them, so that they tell who reads them. */
  private readonly swapCount: Uint8Array;
  private readonly swapCache: Int32Array;
  private readonly heard: { readonly count: Uint8Array; readonly cache: Int32Array };

  constructor(
    private readonly m: Machine,
    private readonly frames: CallFrames,
    shared: SharedState,
  ) {
    shared.listener = this;
    frames.seen = this;
    frames.listenToRetries(m);
    this.listenToMarks();
    this.listenToFlags();
    this.swapCount = m.swap.count;
    this.swapCache = m.swap.cache;
    this.heard = { count: this.listenTo(this.swapCount, Space.SwapMap), cache: this.listenTo(this.swapCache, Space.SwapCache) };
    const { memmap, swap } = m;
    this.unused = Uint8Array.from({ length: memmap.nrPages }, (_, page) => (memmap.refcount[memmap.folioOf(page)] === 0 ? 1 : 0));
    this.tails = Uint8Array.from({ length: memmap.nrPages }, (_, page) => (memmap.folioOf(page) === page ? 0 : 1));
    this.unusedSlots = Uint8Array.from({ length: swap.slots }, (_, slot) => (swap.count[slot] === 0 && swap.cache[slot] === NO_PAGE ? 1 : 0));
  }

  /** Most turns that a retry loop has taken in one call. */
  get turnsMax(): number {
    return this.frames.turnsMax;
  }

  /** The threads are about to start. */
  begin(): void {
    Object.assign(this.m.swap, this.heard);
    this.chains.reset();
    this.frames.begin();
    this.objects.clear();
    this.accesses = [];
    this.written.length = 0;
    this.tasks.length = 0;
    this.beganOp.fill(NONE);
    this.pendingOp.fill(NONE);
    this.marks.fill(NONE);
    this.shared = this.sharedToo = 0;
    this.running = false;
  }

  get lo(): number {
    return this.chains.lo[this.slot]!;
  }

  get hi(): number {
    return this.chains.hi[this.slot]!;
  }

  set(lo: number, hi: number): void {
    this.chains.lo[this.slot] = lo;
    this.chains.hi[this.slot] = hi;
  }

  add(value: number): void {
    this.chains.add(this.slot, value);
  }

  /** Two words that are the state of the whole machine, as far as threads can tell. */
  key(into: Int32Array): void {
    const { chains, tasks, values } = this;
    values.reset();
    values.add(0, this.shared);
    values.add(0, this.sharedToo);
    for (const [slot, task] of tasks.entries()) {
      if (task.state === TaskState.Dead) {
        values.add(0, -task.id);
        continue;
      }
      values.add(0, task.id);
      values.add(0, chains.lo[slot]!);
      values.add(0, chains.hi[slot]!);
      values.add(0, task.tlbUbc.cpumask);
      values.add(0, (task.tlbUbc.flushRequired ? 1 : 0) + (task.tlbUbc.writable ? 2 : 0));
      values.add(0, task.rcuNesting * 8 + task.state);
      if (this.pendingOp[slot] === NONE) continue;
      values.add(0, this.pendingOp[slot]!);
      values.add(0, this.pendingObject[slot]!);
    }
    const { turns } = this.m.sched;
    for (const slot of tasks.keys()) if (this.marks[slot] !== NONE) values.add(0, this.marks[slot] === turns ? 1 : 0);
    for (const mm of this.m.mms) {
      this.keyOfVmas(mm);
      this.keyOfSequences(mm);
    }
    const { swap, batches, swapDisk } = this.m;
    if (swapDisk !== null) {
      values.add(0, swap.raHits * 64 + swap.raPrevWindow);
      values.add(0, swap.raPrevOffset);
      for (let i = 0; swapDisk.at(i) !== null; i++) {
        const { folio, offset, write } = swapDisk.at(i)!;
        values.add(0, folio);
        values.add(0, write ? offset : -offset);
      }
    }
    for (const { id, engine } of this.m.devices) if (engine !== null) this.observeDevice(id);
    values.add(0, batches.disabled);
    values.add(0, this.m.memoryBlocks.migrateRatelimit.printed);
    this.keyOfQueues();
    into[0] = values.lo[0]!;
    into[1] = values.hi[0]!;
  }

  private keyOfVmas(mm: Mm): void {
    this.see(mm.lockSeq);
    for (const vma of mm.vmas) {
      this.seeVma(vma);
      this.see(vma.readers);
      this.see(vma.lockSeq);
      if (vma.anonVma !== null) for (const { id } of vma.anonVma.vmas) this.see(id);
      if (vma.mapping !== null) for (const { id } of vma.mapping.vmas) this.see(id);
    }
  }

  /** In which order tasks run that share an executor, and are woken that wait for one folio. */
  private keyOfQueues(): void {
    const { values, m } = this;
    for (const { queue } of m.sched.executors) {
      if (queue.length > 1) for (const { id } of queue) values.add(0, id);
    }
    for (const waiters of m.folioWaiters.values()) {
      for (const id of waiters.order()) values.add(0, id);
    }
  }

  /** Which notifiers, and which readers, have the sequence number of the last invalidation; and which readers that of their notifier. */
  private keyOfSequences(mm: Mm): void {
    const { values, frames, tasks } = this;
    for (const { invalidateSeq } of mm.intervals) {
      values.add(0, invalidateSeq === mm.invalidateSeq ? 1 : 0);
      for (const slot of tasks.keys()) {
        for (const held of frames.sequences(slot)) values.add(0, (held === invalidateSeq ? 2 : 0) + (held === mm.invalidateSeq ? 1 : 0));
      }
    }
  }

  /** The running task has stopped at a point: what it does when it goes on. */
  stops(op: Op, object: number): void {
    this.endStep();
    this.pendingOp[this.slot] = op;
    this.pendingObject[this.slot] = object;
  }

  /** The running task has stopped, at a point or to wait: its step is over. */
  endStep(): void {
    this.running = false;
    for (const object of this.written) this.changed(object);
    this.written.length = 0;
  }

  /** The current task goes on: all that is touched from here on is its step. */
  goesOn(executor: Executor): void {
    // Nobody is asked where only one task is left to go on.
    this.endStep();
    const slot = this.slotOf(this.m.current!);
    this.executor = executor.id;
    this.slot = slot;
    if (this.recording) this.accesses = [];
    const op = this.pendingOp[slot]!;
    if (op !== NONE) {
      const object = this.pendingObject[slot]!;
      this.pendingOp[slot] = NONE;
      this.beganOp[slot] = op;
      this.beganObject[slot] = object;
      this.beganLo[slot] = this.chains.lo[slot]!;
      this.beganHi[slot] = this.chains.hi[slot]!;
      this.touch(op, object);
    } else {
      // It had stopped to wait: for what it had asked for, or for work.
      const began = this.beganOp[slot]!;
      this.noteAt(QUEUES + executor.id, Space.Task, Kind.Write);
      // Who has waited for a lock knows no more than who found it free.
      if (LOCKS.has(began)) this.set(this.beganLo[slot]!, this.beganHi[slot]!);
      else this.chains.add(slot, -7);
      if (began !== NONE) this.touch(began, this.beganObject[slot]!);
      if (this.m.swapDisk !== null && executor.name === "swap disk") this.add(this.m.swapDisk.next()?.folio ?? -1);
    }
    this.running = true;
  }

  /** The kernel's code is interrupted by somebody who looks on. */
  pause(): boolean {
    const was = this.running;
    this.running = false;
    return was;
  }

  /** It goes on as before `pause`. */
  resume(was: boolean): void {
    this.running = was;
  }

  touch(op: Op, object: number): void {
    const { chains, slot } = this;
    const space = SPACE_OF[op]!;
    chains.add(slot, op);
    chains.add(slot, object);
    if (space === Space.Private || object < 0) return;
    const state = this.stateOf(object, space);
    const kind = this.kindOf(op, object);
    if (kind !== Kind.Read) this.written.push(state);
    if (!RELEASES.has(op)) this.note(state, kind);
    if (space === Space.Lock) this.acquires(op, object);
    else if (op === Op.RefPut) this.add(this.m.memmap.refcount[object] === 1 ? 1 : 0);
    else if (op === Op.PageFlags) this.showFolio(object);
    else if (VMA_SPACES.has(space)) this.showVmas(space, object);
    else if (!BLIND.has(op)) {
      chains.add(slot, state.lo);
      chains.add(slot, state.hi);
    }
  }

  /** All that the running task knows, whatever it has seen before. */
  knows(words: Iterable<number>): void {
    const { values } = this;
    values.reset();
    for (const word of words) this.see(word);
    this.set(values.lo[0]!, values.hi[0]!);
  }

  drew(value: number): void {
    this.add(value + 1000);
  }

  /* What the scenario's threads share besides memory. */

  read(property: number, value: unknown): void {
    if (!this.running) return;
    this.noteAt(property, SCENARIO_SPACE, Kind.Read);
    this.values.reset();
    this.seeAny(value);
    this.add(this.values.lo[0]!);
    this.add(this.values.hi[0]!);
  }

  wrote(property: number, before: unknown, after: unknown): void {
    if (!this.running) return;
    this.read(property, before);
    const state = this.stateOf(property, SCENARIO_SPACE);
    this.note(state, Kind.Write);
    this.values.reset();
    this.seeAny(after);
    this.becomes(state, this.values.lo[0]!, this.values.hi[0]!);
  }

  reached(property: number): void {
    if (!this.running) return;
    const state = this.stateOf(property, SCENARIO_SPACE);
    this.note(state, Kind.Write);
    this.add(state.lo);
    this.add(state.hi);
    this.values.reset();
    this.history();
    this.becomes(state, this.values.lo[0]!, this.values.hi[0]!);
  }

  private seeAny(value: unknown): void {
    this.frames.values.begin();
    this.frames.values.value(value);
    this.see(this.frames.values.lo);
    this.see(this.frames.values.hi);
  }

  /** A task is put on an executor's queue. */
  woke(executor: number): void {
    if (this.running) this.noteAt(QUEUES + executor, Space.Task, Kind.Write);
  }

  private slotOf(task: Task): number {
    const slot = this.tasks.indexOf(task);
    if (slot >= 0) return slot;
    if (this.tasks.length === TASKS_MAX) throw new RangeError(`more than ${TASKS_MAX} tasks`);
    return this.tasks.push(task) - 1;
  }

  /** What an object holds. */
  private stateOf(object: number, space: number): ObjectState {
    const key = object * SPACES + space;
    let state = this.objects.get(key);
    if (state === undefined) {
      // Whatever it is that an unused frame holds is the same for every execution.
      const unused = (space === Space.Frame && this.unused[object] === 1) || (space === Space.SwapSlot && this.unusedSlots[object] === 1);
      const { lo, hi } = unused ? UNUSED : this.valueOf(space, object);
      // A tail's state is its folio's until that is split: what it is by then may be the outcome of much.
      const first = PAGE_SPACES.has(space) && this.tails[object] === 1 ? UNUSED : { lo, hi };
      this.objects.set(key, (state = { key, space, object, firstLo: first.lo, firstHi: first.hi, lo, hi }));
      this.weigh(state, 1);
    }
    return state;
  }

  /** An access of this step. */
  private note({ key }: ObjectState, kind: Kind): void {
    this.noteKey(key, kind);
  }

  private noteKey(key: number, kind: Kind): void {
    if (!this.recording) return;
    const access = key * KINDS + kind;
    const { accesses } = this;
    for (let i = accesses.length - 1; i >= 0; i--) if (accesses[i] === access) return;
    accesses.push(access);
  }

  private noteAt(object: number, space: number, kind: Kind): void {
    const state = this.stateOf(object, space);
    if (kind !== Kind.Read) this.written.push(state);
    this.note(state, kind);
  }

  private kindOf(op: Op, object: number): Kind {
    if (op === Op.RefGet || op === Op.TlbFlush) return Kind.Add;
    if (op === Op.RefPut && this.m.memmap.refcount[object] !== 1) return Kind.Take;
    return conflicts(op, object, op, object) ? Kind.Write : Kind.Read;
  }

  /** A step has written to an object. */
  private changed(state: ObjectState): void {
    const { lo, hi } = this.valueOf(state.space, state.object);
    this.becomes(state, lo, hi);
  }

  private becomes(state: ObjectState, lo: number, hi: number): void {
    if (lo === state.lo && hi === state.hi) return;
    this.weigh(state, -1);
    state.lo = lo;
    state.hi = hi;
    this.weigh(state, 1);
  }

  private weigh({ key, lo, hi, firstLo, firstHi }: ObjectState, sign: number): void {
    if (lo === firstLo && hi === firstHi) return;
    const low = key | 0;
    const high = Math.floor(key / 2 ** 32);
    const a = Math.imul(lo ^ low, 0x9e3779b1) ^ Math.imul(hi + high, 0x85ebca6b);
    const b = Math.imul(hi ^ low, 0xc2b2ae35) ^ Math.imul(lo + high, 0x27d4eb2f);
    this.shared = (this.shared + sign * (a ^ (a >>> 15))) | 0;
    this.sharedToo = (this.sharedToo + sign * (b ^ (b >>> 13))) | 0;
  }

  private listenToMarks(): void {
    const { retries } = this.m;
    const { mark } = retries;
    retries.mark = () => {
      const made = mark.call(retries);
      if (this.running) this.marks[this.slot] = made;
      return made;
    };
  }

  /** Flags of pages are read and written in many places, which points do not all announce: they tell of themselves. */
  private listenToFlags(): void {
    const { memmap } = this.m;
    const { has, set, clear, isAnon, isFile, isLarge } = memmap;
    const folioOf = memmap.folioOf.bind(memmap);
    // Which folio a page belongs to, and of how many pages that is, is among the flags.
    memmap.folioOf = (page) => {
      const folio = folioOf(page);
      if (this.running) {
        this.noteKey(page * SPACES + Space.FolioFlags, Kind.Read);
        this.add(folio);
      }
      return folio;
    };
    memmap.isLarge = (folio) => {
      const result = isLarge.call(memmap, folio);
      if (this.running) {
        this.noteAt(folio, Space.FolioFlags, Kind.Read);
        this.add(result ? 5 : 6);
      }
      return result;
    };
    memmap.has = (page, flag) => {
      const result = has.call(memmap, page, flag);
      if (this.running) {
        this.noteAt(folioOf(page), Space.FolioFlags, Kind.Read);
        this.add(result ? 1 : 2);
      }
      return result;
    };
    memmap.isAnon = (folio) => {
      const result = isAnon.call(memmap, folio);
      if (this.running) {
        this.noteAt(folio, Space.FolioFlags, Kind.Read);
        this.add(result ? 3 : 4);
      }
      return result;
    };
    memmap.isFile = (folio) => {
      const result = isFile.call(memmap, folio);
      if (this.running) {
        this.noteAt(folio, Space.FolioFlags, Kind.Read);
        this.add(result ? 7 : 8);
      }
      return result;
    };
    memmap.set = (page, flag) => {
      if (this.running) this.noteAt(folioOf(page), Space.FolioFlags, Kind.Write);
      set.call(memmap, page, flag);
    };
    memmap.clear = (page, flag) => {
      if (this.running) this.noteAt(folioOf(page), Space.FolioFlags, Kind.Write);
      clear.call(memmap, page, flag);
    };
  }

  /** An array that tells of each access to an item, which is an object of the space. */
  private listenTo<A extends Uint8Array | Int32Array>(array: A, space: Space): A {
    return new Proxy(array, {
      get: (target, key): unknown => {
        const value: unknown = Reflect.get(target, key, target);
        if (typeof value === "function") return (value as (...args: unknown[]) => unknown).bind(target);
        if (this.running && typeof key === "string" && typeof value === "number" && key !== "length") {
          this.noteAt(Number(key), space, Kind.Read);
          this.add(value);
        }
        return value;
      },
      set: (target, key, value: number): boolean => {
        if (this.running) this.noteAt(Number(key), space, Kind.Write);
        target[Number(key)] = value;
        return true;
      },
    });
  }

  /** What a lock shows to who takes it: what it guards, and not who else has had it. */
  private acquires(op: Op, id: number): void {
    const lock = this.m.locks.byId[id];
    if (op === Op.GuardedRead) this.add(-3);
    else if (lock instanceof RwSem) this.add(op !== Op.SemRelease && lock.isWaiting(this.m.current!) ? 1 : 0);
    else if (lock instanceof SpinLock) this.add(op !== Op.SpinUnlock && lock.owner !== null ? 1 : 0);
    if (op === Op.SpinUnlock || op === Op.SemRelease) return;
    this.values.reset();
    this.observeGuarded(id);
    this.add(this.values.lo[0]!);
    this.add(this.values.hi[0]!);
  }

  /** What a step on a folio's flags shows besides those that are asked for, which tell of themselves: see `listenToFlags`. */
  private showFolio(folio: number): void {
    this.values.reset();
    this.observeFolio(folio);
    this.add(this.values.lo[0]!);
    this.add(this.values.hi[0]!);
  }

  private showVmas(space: number, object: number): void {
    const { m } = this;
    this.values.reset();
    if (space === Space.VmaLock) this.observeVma(object);
    else {
      for (const mm of m.mms) {
        if (mm.id !== object) continue;
        this.see(mm.lockSeq);
        if (space === Space.VmaTree) this.observeVmas(mm);
      }
    }
    this.add(this.values.lo[0]!);
    this.add(this.values.hi[0]!);
  }

  private readonly value = { lo: 0, hi: 0 };

  private valueOf(space: number, object: number): { readonly lo: number; readonly hi: number } {
    const { values, value } = this;
    values.reset();
    this.observe(space, object);
    value.lo = values.lo[0]!;
    value.hi = values.hi[0]!;
    return value;
  }

  private see(value: number): void {
    const low = value | 0;
    this.values.add(0, low);
    if (low !== value) this.values.add(0, Math.floor(value / 2 ** 32));
  }

  /** All that is known of an object is who wrote to it, and what that task had seen. */
  private history(): void {
    this.values.add(0, this.chains.lo[this.slot]!);
    this.values.add(0, this.chains.hi[this.slot]!);
  }

  /** What code may read of an object behind an operation on it. */
  private observe(space: number, object: number): void {
    const { m } = this;
    const { memmap, pt, swap } = m;
    switch (space) {
      case Space.Pte:
        this.see(pt.flags(object));
        this.see(pt.pfn(object));
        return;
      case Space.Table:
        return this.observeTable(object);
      case Space.Lock:
        return this.observeLock(object);
      case Space.RefCount:
        this.see(memmap.refcount[object]!);
        this.see(memmap.pincount[object]!);
        return;
      case Space.MapCount:
        this.see(memmap.mapcount[object]!);
        if (memmap.order[object] !== 0) {
          for (let i = 0; i < memmap.folioPages(object); i++) this.see(memmap.mapcount[object + i]!);
          for (const value of memmap.owners.valuesOf(object)) this.see(value);
        }
        return;
      case Space.FolioFlags:
        this.see(memmap.flags[object]!);
        return this.observeFolio(object);
      case Space.Frame:
        return this.observeFrame(object);
      case Space.Tlb:
        return this.observeTlb(m.sched.executors[object]!);
      case Space.VmaTree:
      case Space.VmaLock:
      case Space.VmaSeq:
        // Part of `key`, and shown by `showVmas`.
        return;
      case Space.Notifier:
        for (const mm of m.mms) if (mm.id === object) this.observeNotifiers(mm);
        return;
      case Space.MmUsers:
        for (const mm of m.mms) if (mm.id === object) this.see(mm.users);
        return;
      case Space.NotifierList:
        for (const mm of m.mms) if (mm.id === object) for (const { users } of mm.notifiers) this.see(users ?? 0);
        return;
      case Space.NotifierSeq:
        // Only how sequence numbers relate matters: see `keyOfSequences`.
        return;
      case Space.DeviceTable:
        return this.observeDeviceTable(object);
      case Space.SwapMap:
        this.see(this.swapCount[object]!);
        return;
      case Space.SwapCache:
        this.see(this.swapCache[object]!);
        return;
      case Space.SwapSlot:
        for (const word of swap.wordsOf(object)) this.see(word);
        return;
      case Space.PageCache:
        this.see(m.mappings.get(Math.floor(object / AddressSpace.OBJECTS))?.at(object % AddressSpace.OBJECTS) ?? NO_PAGE);
        return;
      case Space.TlbBatch:
        for (const mm of m.mms) {
          if (mm.id !== object) continue;
          // Whoever flushes remembers how much was pending.
          this.see(mm.tlbBatchPending);
          this.see(mm.tlbBatchFlushed);
        }
        return;
      case Space.LruBatch:
        for (const batch of m.batches.of(object)) {
          this.see(-1);
          for (const folio of batch) this.see(folio);
        }
        this.see(m.batches.disabled);
        return;
      case Space.Pcp:
        for (const page of m.zones.pcpPagesInOrder(object)) this.see(page);
        this.see(m.memcgs.stockPages(object));
        return;
      case Space.Memcg: {
        const memcg = m.memcgs.get(object);
        this.see(memcg.usage);
        this.see(memcg.swapUsage);
        return;
      }
      case Space.Rcu:
        if (object !== 0) return this.history();
        this.see(m.rcu.pending);
        return;
      case SCENARIO_SPACE:
        return;
      case Space.Stats:
        // Sums, whatever the order in which they are added to.
        return;
      case Space.Userfault:
        return this.observeUserfaultfd(object);
      case Space.Device:
        return this.observeDevice(object);
      case Space.Thp:
        for (const folio of m.thp.deferredSplit) this.see(folio);
        return;
      case Space.Task:
        // Who waits, and who was woken, follows from what tasks are about to do.
        if (object >= QUEUES) return;
        return this.history();
      default:
        return this.history();
    }
  }

  private observeUserfaultfd(id: number): void {
    const ctx = this.m.userfaultfds.find((one) => one.id === id);
    if (ctx === undefined) return;
    this.see(ctx.references * 4 + (ctx.initialized ? 2 : 0) + (ctx.released ? 1 : 0));
    this.see(ctx.features);
    this.see(ctx.mmapChanging);
    for (const list of [ctx.pending, ctx.faults]) {
      this.see(-1);
      for (const { task, msg } of list) {
        this.see(task.id);
        this.see(msg.address);
        this.see(msg.flags);
      }
    }
    for (const { task, msg, taken, done } of ctx.events) {
      this.see(task.id);
      this.see(msg.event * 4 + (taken ? 2 : 0) + (done ? 1 : 0));
    }
  }

  /** All of a folio's flags and fields but the flags of its first page. */
  private observeFolio(folio: number): void {
    const { memmap, folioHandoffs } = this.m;
    for (let i = 1; i < memmap.folioPages(folio); i++) this.see(memmap.flags[folio + i]!);
    this.see(memmap.mapping[folio]!);
    this.see(memmap.index[folio]!);
    this.see(memmap.private[folio]!);
    if (memmap.isZoneDevice(folio)) for (const { memory } of this.m.devices) this.see(memory?.notes.get(folio) ?? 0);
    if (memmap.lastCpuPid !== null) this.see(memmap.lastCpuPid[folio]!);
    for (const { task } of folioHandoffs.get(folio) ?? []) this.see(task.id);
  }

  private observeTable(object: number): void {
    const { m } = this;
    const range = object % RANGES_PER_MM;
    const table = Math.floor(object / RANGES_PER_MM);
    for (const mm of m.mms) {
      if (mm.id !== table >> 1 || mm.pgd < 0) continue;
      const entry = (table & 1) === 0 ? m.pt.pmd(mm.pgd, range << 9) : mm.pgd * 512 + range;
      this.see(entry);
      if (entry < 0) continue;
      this.see(m.pt.flags(entry));
      this.see(m.pt.pfn(entry));
    }
  }

  private observeLock(id: number): void {
    const lock = this.m.locks.byId[id];
    if (lock instanceof SpinLock) this.see(lock.owner === null ? -1 : lock.owner.id);
    else if (lock instanceof RwSem) {
      this.see(lock.readers);
      this.see(lock.writer === null ? -1 : lock.writer.id);
      for (const { id: waiter } of lock.waitingTasks()) this.see(waiter);
    }
    if (!VMA_LOCKS.has(lock?.cls ?? "")) this.observeGuarded(id);
  }

  private observeGuarded(id: number): void {
    const lock = this.m.locks.byId[id];
    const cls: string = lock?.cls ?? "";
    if (lock === undefined) this.history();
    else if (cls === "lruvec") this.observeLru(lock);
    else if (VMA_LOCKS.has(cls)) for (const mm of this.m.mms) this.observeVmas(mm);
    else if (cls === "device_mirror") this.observeMirror(id);
    else if (cls === "zone") this.observeZones();
    else if (cls === "swap") this.observeSwap();
    else if (!TRANSPARENT_LOCKS.has(cls)) this.history();
  }

  /** What a driver keeps for a mirror is guarded by its mutex. */
  private observeMirror(lock: number): void {
    for (const { mutex, data } of this.m.mirrors) if (mutex.id === lock) this.seeAny(data);
  }

  private observeZones(): void {
    for (const zone of this.m.zones.list) {
      this.see(zone.free);
      this.see(zone.pcpDisabled);
      for (const page of zone.freePagesInOrder()) this.see(page);
    }
  }

  private observeSwap(): void {
    const { swap } = this.m;
    this.see(swap.used);
    this.see(swap.nextSlot);
    for (let offset = 0; offset < swap.slots; offset++) {
      this.see(this.swapCount[offset]!);
      this.see(this.swapCache[offset]!);
    }
  }

  private observeLru(lock: SpinLock | RwSem): void {
    const { memcgs, memmap } = this.m;
    for (const { lruvec } of memcgs.root.subtree()) {
      if (lruvec.lock !== lock) continue;
      for (const list of lruvec.lists) {
        this.see(-1);
        for (let folio = list.head; folio >= 0; folio = memmap.lruNext[folio]!) this.see(folio);
      }
    }
  }

  private observeFrame(frame: number): void {
    const { words } = this.m.ram;
    let lo = 0;
    const end = (frame + 1) * WORDS_PER_FRAME;
    for (let i = frame * WORDS_PER_FRAME; i < end; i++) {
      const word = words[i]!;
      if (word !== 0) lo = Math.imul(lo ^ word ^ (i << 20), 0x9e3779b1) ^ (lo >>> 15);
    }
    this.see(lo);
  }

  private observeTlb({ tlb }: Executor): void {
    for (let slot = 0; slot < tlb.entries; slot++) {
      const tags = [tlb.readTag[slot]!, tlb.writeTag[slot]!, tlb.execTag[slot]!];
      if (tags.every((tag) => tag < 0)) continue;
      this.see(slot);
      for (const tag of tags) this.see(tag);
      this.see(tlb.frame[slot]!);
    }
  }

  private observeVmas(mm: Mm): void {
    for (const vma of mm.vmas) this.seeVma(vma);
  }

  private seeVma(vma: Vma): void {
    this.see(vma.id);
    this.see(vma.startVpn);
    this.see(vma.endVpn);
    this.see(vma.flags);
    this.see(vma.pgoff);
    this.see(vma.anonPgoff);
    this.see(vma.anonVma === null ? 0 : vma.anonVma.id);
    this.see(vma.uffd === null ? 0 : vma.uffd.id);
    if (vma.policy !== null) for (const value of Object.values(vma.policy)) this.see(value as number);
    this.see(vma.anonId * 2 + (vma.forked ? 1 : 0));
  }

  private observeVma(id: number): void {
    for (const mm of this.m.mms) {
      for (const vma of mm.vmas) {
        if (vma.id !== id) continue;
        this.seeVma(vma);
        this.see(vma.lockSeq === mm.lockSeq ? 1 : 0);
        this.see(vma.readers);
        return;
      }
    }
    this.see(-1);
  }

  private observeDevice(id: number): void {
    const { opened, engine, data, iommu } = this.m.devices[id]!;
    this.see(opened);
    for (const entries of iommu === null ? [] : [iommu.table, iommu.iotlb]) {
      this.see(-1);
      for (const [iova, { page, write }] of [...entries].sort(([a], [b]) => a - b)) {
        this.see(iova);
        this.see(page * 2 + (write ? 1 : 0));
      }
    }
    for (const { iova, pages } of iommu?.allocated ?? []) this.see(iova * 1024 + pages);
    this.seeAny(data);
    if (engine === null) return;
    // Who waits for a job knows its number: how many there were is told apart.
    this.see(engine.queued);
    this.see(engine.done);
    for (const job of engine.queue) this.seeAny(job);
  }

  private observeNotifiers(mm: Mm): void {
    this.see(mm.activeInvalidations);
    this.see(mm.invalidateSeq & 1);
    this.see(mm.intervals.length);
    this.see(mm.deferredIntervals.length);
  }

  private observeDeviceTable(id: number): void {
    for (const { id: tlb, bound, entries } of this.m.secondaryTlbs) {
      if (tlb !== id) continue;
      this.see(bound ? 1 : 0);
      for (const [vpn, { page, write }] of [...entries].sort(([a], [b]) => a - b)) {
        this.see(vpn);
        this.see(page * 2 + (write ? 1 : 0));
      }
    }
    for (const { notifier, table, migrations } of this.m.mirrors) {
      if (notifier.id !== id) continue;
      this.see(table.size);
      this.see(migrations);
      if (table.size === 0) continue;
      for (const [vpn, { page, write, atomic }] of table) {
        this.see(vpn);
        this.see(page * 4 + (write ? 1 : 0) + (atomic ? 2 : 0));
      }
    }
  }
}
