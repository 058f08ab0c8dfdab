import { SpinLock } from "../kernel/locks.js";
import type { Machine } from "../machine.js";
import { NO_PAGE, type Memmap } from "./page.js";

export enum Lru {
  inactiveAnon,
  activeAnon,
  inactiveFile,
  activeFile,
  unevictable,
}

export const LRU_LISTS = 5;

/** A list of folios linked through the memmap; new ones go to the head, reclaim takes the tail. */
export class FolioList {
  head = NO_PAGE;
  tail = NO_PAGE;
  length = 0;

  constructor(private readonly memmap: Memmap) {}

  addHead(folio: number): void {
    const { lruNext, lruPrev } = this.memmap;
    lruPrev[folio] = NO_PAGE;
    lruNext[folio] = this.head;
    if (this.head === NO_PAGE) this.tail = folio;
    else lruPrev[this.head] = folio;
    this.head = folio;
    this.length++;
  }

  addTail(folio: number): void {
    const { lruNext, lruPrev } = this.memmap;
    lruNext[folio] = NO_PAGE;
    lruPrev[folio] = this.tail;
    if (this.tail === NO_PAGE) this.head = folio;
    else lruNext[this.tail] = folio;
    this.tail = folio;
    this.length++;
  }

  remove(folio: number): void {
    const { lruNext, lruPrev } = this.memmap;
    const next = lruNext[folio]!;
    const prev = lruPrev[folio]!;
    if (prev === NO_PAGE) this.head = next;
    else lruNext[prev] = next;
    if (next === NO_PAGE) this.tail = prev;
    else lruPrev[next] = prev;
    lruNext[folio] = NO_PAGE;
    lruPrev[folio] = NO_PAGE;
    this.length--;
  }
}

/** The LRU lists of one memory cgroup, under one lock. `length` of a list counts folios. */
export class Lruvec {
  readonly lock: SpinLock;
  readonly lists: FolioList[];
  /** Pages on each list. */
  readonly pages = [0, 0, 0, 0, 0];

  constructor(m: Machine) {
    this.lock = new SpinLock(m.locks, "lruvec");
    this.lists = Array.from({ length: LRU_LISTS }, () => new FolioList(m.memmap));
  }
}
