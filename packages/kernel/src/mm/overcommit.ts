/**
 * @linux mm/util.c
 * @omits The count of promised pages is exact at once, not kept per CPU.
 * @own brkWithinLimit, commitLimit, committedPages, enoughMemory
 */
import { Cap, capable } from "../kernel/capability.js";
import { Rlimit, rlimit, rlimitPages } from "../kernel/rlimit.js";
import type { Kernel } from "../kernel.js";
import { VM, type Mm } from "./mm_types.js";
import { Overcommit } from "./vm_sysctl.js";

/** Pages that processes have been promised, touched or not (Committed_AS). */
export function committedPages(k: Kernel): number {
  let pages = k.m.vmstat.pages.shmem;
  for (const mm of k.m.mms) for (const vma of mm.vmas) if ((vma.flags & VM.ACCOUNT) !== 0) pages += vma.pages;
  return pages;
}

/** Pages that may be promised where no more is than there is (CommitLimit). */
export function commitLimit(k: Kernel): number {
  const { zones, swap, vmSysctl } = k.m;
  const { overcommitKbytes, overcommitRatio } = vmSysctl;
  const ram = overcommitKbytes !== 0 ? Math.floor(overcommitKbytes / 4) : Math.floor((zones.totalPages() * overcommitRatio) / 100);
  return ram + swap.total;
}

/** Whether so many more pages may be promised to an address space, by vm.overcommit_memory. */
export function enoughMemory(k: Kernel, mm: Mm, pages: number): boolean {
  const { zones, swap, vmSysctl } = k.m;
  if (vmSysctl.overcommitMemory === Overcommit.Always) return true;
  if (vmSysctl.overcommitMemory === Overcommit.Guess) return pages <= zones.totalPages() + swap.total;
  let allowed = k.overcommit.commitLimit(k);
  if (!capable(k, Cap.SYS_ADMIN)) allowed -= Math.floor(vmSysctl.adminReserveKbytes / 4);
  // One process cannot take so much that nobody is left to end it.
  allowed -= Math.min(Math.floor(mm.totalVm / 32), Math.floor(vmSysctl.userReserveKbytes / 4));
  return k.overcommit.committedPages(k) + pages < allowed;
}

/** Private writable memory that is no stack: what RLIMIT_DATA is about. */
function isData(flags: number): boolean {
  return (flags & (VM.WRITE | VM.SHARED | VM.GROWSDOWN)) === VM.WRITE;
}

/** Whether RLIMIT_AS, and for data RLIMIT_DATA, leave room for so many more pages with these VM flags. */
export function mayExpandVm(k: Kernel, mm: Mm, flags: number, pages: number): boolean {
  if (mm.totalVm + pages > rlimitPages(k.m, Rlimit.AS)) return false;
  const limit = rlimitPages(k.m, Rlimit.DATA);
  if (limit === Infinity || !isData(flags)) return true;
  const data = mm.vmas.reduce((sum, vma) => (isData(vma.flags) ? sum + vma.pages : sum), 0);
  if (data + pages <= limit) return true;
  // A soft limit of 0 is valgrind's, which means brk alone: the hard one counts then.
  const maximum = k.m.current!.process!.limits[Rlimit.DATA]!;
  return maximum.current === 0n && BigInt(data + pages) <= maximum.maximum >> 12n;
}

/** Whether RLIMIT_DATA lets the break go there: bytes of the heap, and of the program's data. */
export function brkWithinLimit(k: Kernel, mm: Mm, brk: number): boolean {
  return BigInt(brk - mm.startBrk + (mm.endData - mm.startData)) <= rlimit(k.m, Rlimit.DATA);
}
