/** vm.overcommit_memory. */
export enum Overcommit {
  /** Only what could never be there is refused. */
  Guess,
  Always,
  /** No more is promised than CommitLimit. */
  Never,
}

/** What /proc/sys/vm sets for all address spaces. */
export class VmSysctl {
  overcommitMemory: number = Overcommit.Guess;
  /** Of RAM, in percent; has no effect where `overcommitKbytes` is not 0. */
  overcommitRatio = 50;
  overcommitKbytes = 0;
  adminReserveKbytes: number;
  userReserveKbytes: number;
  maxMapCount = 65_530;
  mmapMinAddr = 65_536;
  /** Whether MADV_SOFT_OFFLINE and its like do anything. */
  enableSoftOffline = 1;
  /** Whether who runs out of memory is killed, rather than whoever has most; not 0 for yes. */
  oomKillAllocatingTask = 0;
  /** Swap slots that are read at once are at most 2 to the power of this. */
  pageCluster = 3;
  /** What was set of the settings that nothing depends on. */
  readonly withoutEffect = new Map<string, number>();

  constructor(freePages: number) {
    const share = Math.floor((freePages * 4) / 32);
    this.adminReserveKbytes = Math.min(share, 8 * 1024);
    this.userReserveKbytes = Math.min(share, 128 * 1024);
  }
}
