import {
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
} from "@faultline/kernel";
import type { CallFrames, Seen } from "./call_frames.js";
import { HashChains } from "./hash64.js";
import { ObjectValues, QUEUES, SCENARIO_SPACE } from "./object_values.js";
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
/** More tasks than this in one scenario are not told apart. */
const TASKS_MAX = 64;

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

/**
 * Hashes of the state of a machine, by which executions are recognised that have come to the same
 * point in different ways. A state is what each task is about to do with what it knows, and what
 * every object holds that steps have touched.
 *
 * What a task knows is the chain of what it was shown, call by call (`CallFrames`): threads are
 * deterministic. What an operation shows, and what an object holds, is what code can read of it
 * behind that operation (`ObjectValues`). Of objects for which that is not spelt out, it is which steps they have
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
  private readonly values: ObjectValues;
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
    this.values = new ObjectValues(m, this.swapCount, this.swapCache, this, frames.values);
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
    values.add(this.shared);
    values.add(this.sharedToo);
    for (const [slot, task] of tasks.entries()) {
      if (task.state === TaskState.Dead) {
        values.add(-task.id);
        continue;
      }
      values.add(task.id);
      values.add(chains.lo[slot]!);
      values.add(chains.hi[slot]!);
      values.add(task.tlbUbc.cpumask);
      values.add((task.tlbUbc.flushRequired ? 1 : 0) + (task.tlbUbc.writable ? 2 : 0));
      values.add(task.rcuNesting * 8 + task.state);
      if (this.pendingOp[slot] === NONE) continue;
      values.add(this.pendingOp[slot]!);
      values.add(this.pendingObject[slot]!);
    }
    const { turns } = this.m.sched;
    for (const slot of tasks.keys()) if (this.marks[slot] !== NONE) values.add(this.marks[slot] === turns ? 1 : 0);
    for (const mm of this.m.mms) {
      this.keyOfVmas(mm);
      this.keyOfSequences(mm);
    }
    const { swap, batches, swapDisk } = this.m;
    if (swapDisk !== null) {
      values.add(swap.raHits * 64 + swap.raPrevWindow);
      values.add(swap.raPrevOffset);
      for (let i = 0; swapDisk.at(i) !== null; i++) {
        const { folio, offset, write } = swapDisk.at(i)!;
        values.add(folio);
        values.add(write ? offset : -offset);
      }
    }
    for (const { id, engine } of this.m.devices) if (engine !== null) values.ofDevice(id);
    values.add(batches.disabled);
    values.add(this.m.memoryBlocks.migrateRatelimit.printed);
    this.keyOfQueues();
    into[0] = values.lo;
    into[1] = values.hi;
  }

  private keyOfVmas(mm: Mm): void {
    this.values.see(mm.lockSeq);
    for (const vma of mm.vmas) {
      this.values.seeVma(vma);
      this.values.see(vma.readers);
      this.values.see(vma.lockSeq);
      if (vma.anonVma !== null) for (const { id } of vma.anonVma.vmas) this.values.see(id);
      if (vma.mapping !== null) for (const { id } of vma.mapping.vmas) this.values.see(id);
    }
  }

  /** In which order tasks run that share an executor, and are woken that wait for one folio. */
  private keyOfQueues(): void {
    const { values, m } = this;
    for (const { queue } of m.sched.executors) {
      if (queue.length > 1) for (const { id } of queue) values.add(id);
    }
    for (const waiters of m.folioWaiters.values()) {
      for (const id of waiters.order()) values.add(id);
    }
  }

  /** Which notifiers, and which readers, have the sequence number of the last invalidation; and which readers that of their notifier. */
  private keyOfSequences(mm: Mm): void {
    const { values, frames, tasks } = this;
    for (const { invalidateSeq } of mm.intervals) {
      values.add(invalidateSeq === mm.invalidateSeq ? 1 : 0);
      for (const slot of tasks.keys()) {
        for (const held of frames.sequences(slot)) values.add((held === invalidateSeq ? 2 : 0) + (held === mm.invalidateSeq ? 1 : 0));
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
    // Most steps write nothing, and making an array shorter is slow.
    if (this.written.length === 0) return;
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
    for (const word of words) this.values.see(word);
    this.set(values.lo, values.hi);
  }

  drew(value: number): void {
    this.add(value + 1000);
  }

  /* What the scenario's threads share besides memory. */

  read(property: number, value: unknown): void {
    if (!this.running) return;
    this.noteAt(property, SCENARIO_SPACE, Kind.Read);
    this.values.reset();
    this.values.seeAny(value);
    this.learns();
  }

  wrote(property: number, before: unknown, after: unknown): void {
    if (!this.running) return;
    this.read(property, before);
    const state = this.stateOf(property, SCENARIO_SPACE);
    this.note(state, Kind.Write);
    this.values.reset();
    this.values.seeAny(after);
    this.becomes(state, this.values.lo, this.values.hi);
  }

  reached(property: number): void {
    if (!this.running) return;
    const state = this.stateOf(property, SCENARIO_SPACE);
    this.note(state, Kind.Write);
    this.add(state.lo);
    this.add(state.hi);
    this.values.reset();
    this.values.history();
    this.becomes(state, this.values.lo, this.values.hi);
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
      const { values } = this;
      values.reset();
      if (!unused) values.ofObject(space, object);
      const { lo, hi } = unused ? UNUSED : values;
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
    const { values } = this;
    values.reset();
    values.ofObject(state.space, state.object);
    this.becomes(state, values.lo, values.hi);
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
    this.values.ofGuarded(id);
    this.learns();
  }

  /** The running task has seen what `values` has been shown. */
  private learns(): void {
    this.add(this.values.lo);
    this.add(this.values.hi);
  }

  /** What a step on a folio's flags shows besides those that are asked for, which tell of themselves: see `listenToFlags`. */
  private showFolio(folio: number): void {
    this.values.reset();
    this.values.ofFolio(folio);
    this.learns();
  }

  private showVmas(space: number, object: number): void {
    const { m } = this;
    this.values.reset();
    if (space === Space.VmaLock) this.values.ofVma(object);
    else {
      for (const mm of m.mms) {
        if (mm.id !== object) continue;
        this.values.see(mm.lockSeq);
        if (space === Space.VmaTree) this.values.ofVmas(mm);
      }
    }
    this.learns();
  }
}
