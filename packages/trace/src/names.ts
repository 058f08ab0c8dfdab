/** What a name in a trace is for; the number that goes with it is the one that events have. */
export enum NameKind {
  /** A task's comm, by pid. */
  Task,
  /** A CPU or the engine of a device. */
  Executor,
  /** The class of a lock: "mmap_lock". */
  LockClass,
  /** A kernel function, in the kernel's spelling. */
  Function,
  /** A device, as /dev has it. */
  Device,
  /** A system call, by its number. */
  Syscall,
}

export const NAME_KINDS = 6;

/** The names that a trace has given so far. */
export class Names {
  private readonly byKind: Map<number, string>[] = Array.from({ length: NAME_KINDS }, () => new Map<number, string>());

  set(kind: NameKind, id: number, text: string): void {
    this.byKind[kind]!.set(id, text);
  }

  get(kind: NameKind, id: number): string | undefined {
    return this.byKind[kind]!.get(id);
  }

  /** All of one kind, as [number, name]. */
  of(kind: NameKind): Iterable<[number, string]> {
    return this.byKind[kind]!;
  }
}
