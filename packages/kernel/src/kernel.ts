import * as fileHuge from "./mm/file_huge.js";
import * as fileFault from "./mm/file_fault.js";
import * as filemap from "./mm/filemap.js";
import * as shmemHuge from "./mm/shmem_huge.js";
import * as secretmem from "./mm/secretmem.js";
import * as shmem from "./mm/shmem.js";
import * as guard from "./mm/guard.js";
import * as accessRemote from "./mm/access_remote.js";
import * as hmm from "./mm/hmm.js";
import * as hmmDma from "./mm/hmm_dma.js";
import * as iommu from "./drivers/iommu.js";
import * as iommuSva from "./drivers/iommu_sva.js";
import * as hugeMigrate from "./mm/huge_migrate.js";
import * as hugeMemory from "./mm/huge_memory.js";
import * as hugeSplit from "./mm/huge_split.js";
import * as compaction from "./mm/compaction.js";
import * as hugetlb from "./mm/hugetlb.js";
import * as hugetlbMigrate from "./mm/hugetlb_migrate.js";
import * as hugetlbPool from "./mm/hugetlb_pool.js";
import * as hugetlbReserve from "./mm/hugetlb_reserve.js";
import * as hugetlbVma from "./mm/hugetlb_vma.js";
import * as gup from "./mm/gup.js";
import * as gupFast from "./mm/gup_fast.js";
import * as gupLongterm from "./mm/gup_longterm.js";
import * as gupPin from "./mm/gup_pin.js";
import * as gupTest from "./mm/gup_test.js";
import * as folioWalk from "./mm/folio_walk.js";
import * as madvise from "./mm/madvise.js";
import * as khugepaged from "./mm/khugepaged.js";
import * as memcg from "./mm/memcg_charge.js";
import * as memremap from "./mm/memremap.js";
import * as migrateDevice from "./mm/migrate_device.js";
import * as memory from "./mm/memory.js";
import * as pageIdle from "./mm/page_idle.js";
import * as damon from "./mm/damon.js";
import * as damonCore from "./mm/damon_core.js";
import * as damonPaddr from "./mm/damon_paddr.js";
import * as damonVaddr from "./mm/damon_vaddr.js";
import * as numaBalancing from "./kernel/numa_balancing.js";
import * as numaFault from "./mm/numa_fault.js";
import * as protNuma from "./mm/prot_numa.js";
import * as mbind from "./mm/mbind.js";
import * as mempolicy from "./mm/mempolicy.js";
import * as memcgHigh from "./mm/memcg_high.js";
import * as memoryHotplug from "./mm/memory_hotplug.js";
import * as memoryFailure from "./mm/memory_failure.js";
import * as migrate from "./mm/migrate.js";
import * as mlock from "./mm/mlock.js";
import * as mlockFolio from "./mm/mlock_folio.js";
import * as mmap from "./mm/mmap.js";
import * as mmGather from "./mm/mmu_gather.js";
import * as mmuNotifier from "./mm/mmu_notifier.js";
import * as mprotect from "./mm/mprotect.js";
import * as mseal from "./mm/mseal.js";
import * as mremap from "./mm/mremap.js";
import * as mrelease from "./mm/mrelease.js";
import * as oom from "./mm/oom_kill.js";
import * as ksm from "./mm/ksm.js";
import * as ksmAdvisor from "./mm/ksm_advisor.js";
import * as ksmMerge from "./mm/ksm_merge.js";
import * as ksmTree from "./mm/ksm_tree.js";
import * as ksmd from "./mm/ksmd.js";
import * as lazyfree from "./mm/lazyfree.js";
import * as pageIo from "./mm/page_io.js";
import * as vma from "./mm/vma.js";
import * as zap from "./mm/zap.js";
import * as pageIsolation from "./mm/page_isolation.js";
import * as collapseFile from "./mm/collapse_file.js";
import * as collapse from "./mm/collapse.js";
import * as collapseMthp from "./mm/collapse_mthp.js";
import * as copyRange from "./mm/copy_range.js";
import * as anonName from "./mm/anon_name.js";
import * as mdwe from "./mm/mdwe.js";
import * as debug from "./mm/debug.js";
import * as memoryDevice from "./drivers/memory.js";
import * as remapFilePages from "./mm/remap_file_pages.js";
import * as overcommit from "./mm/overcommit.js";
import * as populate from "./mm/populate.js";
import * as pageAlloc from "./mm/page_alloc.js";
import * as pteBatch from "./mm/pte_batch.js";
import * as pteMarker from "./mm/pte_marker.js";
import * as pageVmaMapped from "./mm/page_vma_mapped.js";
import * as ptReclaim from "./mm/pt_reclaim.js";
import * as rmap from "./mm/rmap.js";
import * as splitDebug from "./mm/split_debug.js";
import * as swap from "./mm/swap.js";
import * as swapfile from "./mm/swapfile.js";
import * as swapops from "./mm/swapops.js";
import * as swapState from "./mm/swap_state.js";
import * as tlbBatch from "./mm/tlb_batch.js";
import * as tlbflush from "./arch/tlbflush.js";
import * as uaccess from "./arch/uaccess.js";
import * as fault from "./arch/fault.js";
import * as vmscan from "./mm/vmscan.js";
import * as folioLock from "./mm/folio_lock.js";
import * as clearRefs from "./fs/proc/clear_refs.js";
import * as numaMaps from "./fs/proc/numa_maps.js";
import * as pagemap from "./fs/proc/pagemap.js";
import * as pagemapScan from "./fs/proc/pagemap_scan.js";
import * as userfaultfd from "./fs/userfaultfd.js";
import * as uffdEvents from "./fs/userfaultfd_events.js";
import * as userfaultfdFile from "./fs/userfaultfd_file.js";
import * as uffdFill from "./mm/uffd_fill.js";
import * as uffdHugetlb from "./mm/uffd_hugetlb.js";
import * as uffdMove from "./mm/uffd_move.js";
import * as uffdShmem from "./mm/uffd_shmem.js";
import * as devMem from "./fs/dev_mem.js";
import * as uffdRwp from "./mm/uffd_rwp.js";
import * as uffdWp from "./mm/uffd_wp.js";
import * as taskMmu from "./fs/proc/task_mmu.js";
import * as perfEvent from "./kernel/perf_event.js";
import * as uprobeHit from "./kernel/uprobe_hit.js";
import * as uprobeInsn from "./arch/uprobe_insn.js";
import * as uprobeWrite from "./kernel/uprobe_write.js";
import * as uprobeXol from "./kernel/uprobe_xol.js";
import * as uprobes from "./kernel/uprobes.js";
import * as cpuTimers from "./kernel/cpu_timers.js";
import * as posixTimers from "./kernel/posix_timers.js";
import * as exec from "./kernel/exec.js";
import * as exit from "./kernel/exit.js";
import * as fork from "./kernel/fork.js";
import * as ptrace from "./kernel/ptrace.js";
import * as jobControl from "./kernel/job_control.js";
import * as futex from "./kernel/futex.js";
import * as futexPi from "./kernel/futex_pi.js";
import * as futexWaitv from "./kernel/futex_waitv.js";
import * as rcu from "./kernel/rcu.js";
import * as msg from "./kernel/msg.js";
import * as ipc from "./kernel/ipc.js";
import * as sem from "./kernel/sem.js";
import * as shm from "./kernel/shm.js";
import * as signal from "./kernel/signal.js";
import * as time from "./kernel/time.js";
import * as device from "./drivers/device_core.js";
import * as deviceMemory from "./drivers/device_memory.js";
import * as testHmm from "./drivers/test_hmm.js";
import * as testHmmMemory from "./drivers/test_hmm_memory.js";
import { Ftrace } from "./kernel/ftrace.js";
import type { Machine } from "./machine.js";

/** Mainline: every kernel function, by the module it lives in. */
export const MAINLINE = {
  accessRemote,
  anonName,
  clearRefs,
  collapse,
  collapseFile,
  collapseMthp,
  compaction,
  copyRange,
  damon,
  damonCore,
  damonPaddr,
  damonVaddr,
  devMem,
  cpuTimers,
  debug,
  device,
  deviceMemory,
  exec,
  exit,
  fault,
  fileFault,
  fileHuge,
  filemap,
  folioLock,
  folioWalk,
  fork,
  futex,
  futexPi,
  futexWaitv,
  guard,
  gup,
  gupFast,
  gupLongterm,
  gupPin,
  gupTest,
  hmm,
  hmmDma,
  iommu,
  iommuSva,
  hugeMemory,
  hugeMigrate,
  hugeSplit,
  hugetlb,
  hugetlbMigrate,
  hugetlbPool,
  hugetlbReserve,
  hugetlbVma,
  khugepaged,
  jobControl,
  ptrace,
  ksm,
  ksmAdvisor,
  ksmMerge,
  ksmTree,
  ksmd,
  lazyfree,
  madvise,
  mdwe,
  memcg,
  memory,
  mbind,
  mempolicy,
  memoryDevice,
  memcgHigh,
  memoryHotplug,
  memoryFailure,
  memremap,
  migrate,
  migrateDevice,
  mlock,
  mlockFolio,
  mmap,
  mmGather,
  mmuNotifier,
  mprotect,
  mremap,
  mseal,
  numaBalancing,
  numaFault,
  numaMaps,
  protNuma,
  mrelease,
  oom,
  overcommit,
  pageAlloc,
  pageIo,
  pageIdle,
  pageIsolation,
  pageVmaMapped,
  pagemap,
  pagemapScan,
  pteBatch,
  pteMarker,
  perfEvent,
  populate,
  posixTimers,
  rcu,
  ptReclaim,
  remapFilePages,
  rmap,
  secretmem,
  shmem,
  shmemHuge,
  msg,
  ipc,
  sem,
  shm,
  signal,
  splitDebug,
  swap,
  swapState,
  swapfile,
  swapops,
  taskMmu,
  testHmm,
  testHmmMemory,
  time,
  tlbBatch,
  tlbflush,
  uaccess,
  uffdEvents,
  uffdFill,
  uffdHugetlb,
  uffdMove,
  uffdShmem,
  uffdRwp,
  uffdWp,
  uprobeHit,
  uprobeInsn,
  uprobeWrite,
  uprobeXol,
  uprobes,
  userfaultfd,
  userfaultfdFile,
  vma,
  vmscan,
  zap,
};

/** The functions and constants, callable; an overlay may have put others in their place. */
export type KernelModules = { readonly [M in keyof typeof MAINLINE]: Widened<(typeof MAINLINE)[M]> };

/** Constants of a module as their plain types, so that an overlay may give other values. */
type Widened<M> = {
  readonly [F in keyof M]: M[F] extends number ? number : M[F] extends string ? string : M[F];
};

/**
 * The assembled kernel of one machine. Kernel functions take it first and call each other through
 * it (`k.rmap.tryToUnmap(k, folio)`), so that overlays apply to every caller.
 */
export type Kernel = KernelModules & { readonly m: Machine };

/** Replacements, by module and function. */
export type Overlay = { readonly [M in keyof KernelModules]?: Partial<KernelModules[M]> };

/** Makes replacements for a kernel; `base` is what they replace, to be called where useful. */
export type OverlayFactory = (base: KernelModules) => Overlay;

/** Puts something around every function of a kernel: for who wants to know of calls. */
export type Instrument = (modules: KernelModules) => KernelModules;

/**
 * Mainline with the overlays applied in order, each on top of the ones before. With `ftrace` every
 * function tells `m.ftrace` when a task enters and leaves it, which makes kernel code about half as
 * fast; an `Instrument` is put around them instead.
 */
export function assembleKernel(m: Machine, overlays: readonly OverlayFactory[] = [], ftrace: boolean | Instrument = false): Kernel {
  let modules: KernelModules = MAINLINE;
  for (const factory of overlays) {
    const overlay = factory(modules);
    const next: Record<string, unknown> = { ...modules };
    for (const [name, functions] of Object.entries(overlay)) {
      next[name] = { ...(modules as Record<string, object>)[name], ...functions };
    }
    modules = next as unknown as KernelModules;
  }
  if (typeof ftrace === "function") modules = ftrace(modules);
  else if (ftrace) {
    m.ftrace = new Ftrace(m);
    modules = m.ftrace.instrument(modules);
  }
  // Copies: a call through a plain object is quicker than one through a module's namespace.
  const plain = Object.entries(modules).map(([name, functions]) => [name, { ...functions }]);
  return { ...(Object.fromEntries(plain) as KernelModules), m };
}
