/** Advice that programs give: names of MADV_*. */
export const ADVICE = ["DONTNEED", "FREE", "PAGEOUT", "COLD", "WILLNEED", "POPULATE_READ", "POPULATE_WRITE", "RANDOM"] as const;
export type Advice = (typeof ADVICE)[number];

/**
 * What threads do to words. Word 0 of each page is a counter that anybody adds to, each addition
 * another power of two; word i + 1 belongs to thread i, so that it knows what must be there.
 */
export interface WordOperation {
  readonly kind: "load" | "store" | "add" | "device-load" | "device-store" | "device-add";
  /** Of device operations: which device does it. */
  readonly device: number;
  readonly page: number;
  readonly word: number;
  readonly value: number;
}

/** Operations on a range of pages. */
export type RangeOperation = { readonly page: number; readonly pages: number } & (
  | { readonly kind: "madvise"; readonly advice: Advice }
  | { readonly kind: "mprotect"; readonly prot: "NONE" | "READ" | "READ_WRITE" }
  | { readonly kind: "munmap" | "mmap" }
  | { readonly kind: "exclusive"; readonly device: number }
  | { readonly kind: "mirror"; readonly device: number; readonly write: boolean }
);

export type Operation =
  | WordOperation
  | RangeOperation
  /** Takes a reference to a page as a driver does; lets it go at once, or when the thread ends. */
  | { readonly kind: "gup"; readonly page: number; readonly write: boolean; readonly hold: boolean }
  /** Moves what is in the frame that a page had when the program began; `offline`: until it is empty. */
  | { readonly kind: "migrate" | "offline"; readonly page: number }
  | { readonly kind: "reclaim"; readonly pages: number }
  | { readonly kind: "drain" };

export interface ProgramThread {
  readonly on: { readonly cpu: number } | { readonly device: number };
  readonly operations: readonly Operation[];
}

/** A random program, as data: it runs as a scenario, and is printed as one. */
export interface Program {
  readonly cpus: number;
  readonly devices: number;
  readonly swapSlots: number;
  /** Faults map four pages at once, where they can. */
  readonly large: boolean;
  readonly pages: number;
  /** Pages that have memory of their own before anything else happens. */
  readonly populated: readonly boolean[];
  /** Done one after the other before the threads start. */
  readonly setup: readonly Operation[];
  readonly threads: readonly ProgramThread[];
  /** The word whose contents are looked at; null for all of them. */
  readonly watched: Watched | null;
}

/** A word: 0 for a page's counter, i + 1 for what belongs to thread i. */
export interface Watched {
  readonly page: number;
  readonly word: number;
}

export function isRange(op: Operation): op is RangeOperation {
  return "page" in op && "pages" in op;
}

export function isWord(op: Operation): op is WordOperation {
  return "word" in op;
}

/** Whether it works on that page. */
export function covers(op: Operation, page: number): boolean {
  if (!("page" in op)) return false;
  return isRange(op) ? page >= op.page && page < op.page + op.pages : page === op.page;
}

/** What was in the pages may be gone afterwards. */
export function drops(op: Operation): boolean {
  return op.kind === "munmap" || op.kind === "mmap" || (op.kind === "madvise" && (op.advice === "DONTNEED" || op.advice === "FREE"));
}

/** Accesses to the pages may raise a signal from then on, or do no more. */
export function guards(op: Operation): boolean {
  return op.kind === "munmap" || op.kind === "mmap" || op.kind === "mprotect";
}

export function operationsOf(program: Program): number {
  return program.setup.length + program.threads.reduce((sum, { operations }) => sum + operations.length, 0);
}
