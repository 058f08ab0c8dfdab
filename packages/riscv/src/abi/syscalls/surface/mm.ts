import { Errno, Madv, MapFlag, O, Prot } from "@faultline/kernel";
import { AT, bits, FD, noFd, noMemory, PAGE, values, type Refusal, type Surface, type Surfaces } from "./surface.js";

const { EINVAL, ENOENT, ENODEV, ENOMEM, EACCES, EFAULT } = Errno;
const unaligned = (index: number): Refusal => [EINVAL, "address within a page", { [index]: AT.page + 1 }];
const unmapped = (index: number): Refusal => [ENOMEM, "nothing mapped there", { [index]: AT.hole }];
const tooLong = (index: number, errno: Errno): Refusal => [errno, "a range that goes around", { [index]: -PAGE }];

const { PRIVATE, SHARED, FIXED, ANONYMOUS, FIXED_NOREPLACE: NOREPLACE, HUGETLB } = MapFlag;
const MAP_TYPE = 15;
const ANON = PRIVATE | ANONYMOUS;

const PROCESS_VM: Surface = {
  example: [1, [AT.page, 0], 1, [AT.page + PAGE, 0], 1, 0],
  refuses: [
    [EINVAL, "flags", { 5: 1 }],
    [EINVAL, "1025 vectors of one's own", { 2: 1025 }],
    [EINVAL, "a negative length", { 1: [AT.page, -1] }],
    [Errno.ESRCH, "no such process", { 0: 99_999, 1: [AT.page, 8], 3: [AT.page + PAGE, 8] }],
    noMemory(1),
  ],
};

export const MM: Surfaces = {
  brk: { example: [0] },
  munmap: {
    example: [AT.page, PAGE],
    refuses: [unaligned(0), [EINVAL, "no length", { 1: 0 }], tooLong(1, EINVAL), [EINVAL, "of the kernel's half", { 0: AT.kernel }]],
  },
  mremap: {
    example: [AT.page, PAGE, PAGE, 0, 0],
    takes: { 3: bits([0, 1, [3, { 4: AT.hole }], 5], EINVAL) },
    refuses: [
      unaligned(0),
      [EINVAL, "no new length", { 2: 0 }],
      [EINVAL, "MREMAP_FIXED without MREMAP_MAYMOVE", { 3: 2, 4: AT.hole }],
      [EINVAL, "MREMAP_DONTUNMAP and another length", { 2: 2 * PAGE, 3: 5 }],
      [EINVAL, "new address within a page", { 3: 3, 4: AT.hole + 1 }],
      [EINVAL, "onto itself", { 3: 3, 4: AT.page }],
      [EFAULT, "nothing mapped there", { 0: AT.hole }],
      [ENOMEM, "no room to grow, and it may not move", { 2: 2 * PAGE }],
      [EINVAL, "old length 0 of private memory", { 1: 0, 3: 1 }],
    ],
  },
  mmap: {
    example: [0, PAGE, Prot.READ, ANON, -1, 0],
    takes: {
      2: bits([0, Prot.READ, Prot.WRITE, Prot.EXEC], 0),
      3: bits([ANON, [ANON | FIXED, { 0: AT.hole }], [ANON | NOREPLACE, { 0: AT.hole }]], 0, [MAP_TYPE, HUGETLB]),
    },
    refuses: [
      [EINVAL, "no length", { 1: 0 }],
      [ENOMEM, "a length that goes around", { 1: -1 }],
      [EINVAL, "offset within a page", { 5: 1 }],
      [EINVAL, "neither private nor shared", { 3: ANONYMOUS }],
      [ENOMEM, "huge pages, of which there are none", { 1: 2 ** 21, 3: ANON | HUGETLB }],
      [EINVAL, "MAP_FIXED within a page", { 0: AT.page + 1, 3: ANON | FIXED }],
      [ENOMEM, "MAP_FIXED in the kernel's half", { 0: AT.kernel, 3: ANON | FIXED }],
      [Errno.EEXIST, "MAP_FIXED_NOREPLACE where there is something", { 0: AT.page, 3: ANON | NOREPLACE }],
      [Errno.EBADF, "no such descriptor", { 3: PRIVATE, 4: FD.closed }],
      [EACCES, "a file that cannot be read", { 3: PRIVATE, 4: FD.writing }],
      [EACCES, "shared for writing, of a file for reading", { 2: Prot.WRITE, 3: SHARED, 4: FD.reading }],
      [Errno.ENODEV, "a directory", { 3: PRIVATE, 4: FD.directory }],
    ],
  },
  mlock: { example: [AT.page, PAGE], refuses: [unmapped(0), tooLong(1, EINVAL)] },
  mlock2: { example: [AT.page, PAGE, 0], takes: { 2: bits([0, 1], EINVAL) }, refuses: [unmapped(0)] },
  munlock: { example: [AT.page, PAGE], refuses: [unmapped(0), tooLong(1, EINVAL)] },
  mlockall: { example: [1], takes: { 0: bits([1, 2, 5, 6], EINVAL, [4]) }, refuses: [[EINVAL, "no flags", { 0: 0 }], [EINVAL, "MCL_ONFAULT alone", { 0: 4 }]] },
  munlockall: { example: [] },
  mprotect: {
    example: [AT.page, PAGE, Prot.READ],
    takes: { 2: bits([0, Prot.READ, Prot.WRITE, Prot.EXEC, Prot.SEM], EINVAL, [Prot.GROWSDOWN, Prot.GROWSUP]) },
    refuses: [unaligned(0), unmapped(0), tooLong(1, ENOMEM), [EINVAL, "both PROT_GROWSDOWN and PROT_GROWSUP", { 2: Prot.GROWSDOWN | Prot.GROWSUP }]],
  },
  mseal: {
    example: [AT.page + 4 * PAGE, PAGE, 0],
    refuses: [unaligned(0), unmapped(0), tooLong(1, EINVAL), [EINVAL, "flags", { 2: 1 }]],
  },
  msync: {
    example: [AT.page, PAGE, 4],
    takes: { 2: bits([0, 1, 2, 4], EINVAL) },
    refuses: [unaligned(0), unmapped(0), [EINVAL, "MS_SYNC and MS_ASYNC", { 2: 5 }]],
  },
  remap_file_pages: {
    example: [AT.page, PAGE, 0, 0, 0],
    gives: EINVAL,
    refuses: [[EINVAL, "permissions", { 2: 1 }], [EINVAL, "no length", { 1: 0 }], [EINVAL, "nothing mapped there", { 0: AT.hole }]],
  },
  mincore: { example: [AT.page, PAGE, AT.page], refuses: [unaligned(0), unmapped(0), noMemory(2)] },
  madvise: {
    example: [AT.page, PAGE, Madv.NORMAL],
    takes: {
      2: values(
        [
          Madv.NORMAL, Madv.RANDOM, Madv.SEQUENTIAL, Madv.WILLNEED, Madv.DONTNEED, Madv.FREE, Madv.DONTFORK, Madv.DOFORK,
          Madv.HUGEPAGE, Madv.NOHUGEPAGE, Madv.DONTDUMP, Madv.DODUMP, Madv.WIPEONFORK, Madv.KEEPONFORK, Madv.COLD,
          Madv.PAGEOUT, Madv.POPULATE_READ, Madv.POPULATE_WRITE, Madv.DONTNEED_LOCKED, Madv.MERGEABLE, Madv.UNMERGEABLE,
          Madv.GUARD_INSTALL, Madv.GUARD_REMOVE, Madv.SOFT_OFFLINE,
        ],
        EINVAL,
        [Madv.COLLAPSE, Madv.HWPOISON],
      ),
    },
    refuses: [unaligned(0), unmapped(0), tooLong(1, EINVAL)],
  },
  shmget: {
    example: [0, PAGE, 0o1600],
    refuses: [[EINVAL, "a size of 0", { 1: 0 }], [ENOENT, "no segment with the key", { 0: 0x77, 2: 0 }], [EINVAL, "huge pages of no size that there is", { 2: 0x34000000 | 0o5600 }]],
  },
  shmctl: {
    example: [0, 14, AT.page],
    takes: { 1: values([3, 14], EINVAL, [0, 1, 2, 11, 12, 13, 15]) },
    refuses: [noMemory(2), [EINVAL, "a negative id", { 0: -1 }], [EINVAL, "no such segment", { 0: 0x70_0000, 1: 2 }], [EINVAL, "no segment of the number", { 0: 30000, 1: 13 }]],
  },
  shmat: { example: [-1, 0, 0], gives: EINVAL },
  shmdt: { example: [AT.page], gives: EINVAL },
  memfd_create: {
    example: ["name", 0],
    takes: { 1: bits([0, 1, 2, 4, 8, 16], EINVAL) },
    refuses: [[EINVAL, "both MFD_EXEC and MFD_NOEXEC_SEAL", { 1: 24 }], [EINVAL, "a size without MFD_HUGETLB", { 1: 0x54000000 }], [ENODEV, "a size of which there are no pages", { 1: 0x40000004 }], noMemory(0), [EINVAL, "a name of 250 bytes", { 0: "n".repeat(250) }]],
  },
  memfd_secret: { example: [0], takes: { 0: bits([O.CLOEXEC], EINVAL) } },
  process_vm_readv: PROCESS_VM,
  process_vm_writev: PROCESS_VM,
  process_madvise: {
    // PIDFD_SELF
    example: [-10_000, [AT.page, 0], 1, Madv.NORMAL, 0],
    refuses: [
      [EINVAL, "flags", { 4: 1 }],
      [EINVAL, "advice that is not known", { 3: 77 }],
      [EINVAL, "1025 ranges", { 2: 1025 }],
      [Errno.EBADF, "no pidfd", { 0: FD.file }],
      [ENOMEM, "nothing mapped there", { 1: [AT.hole, PAGE] }],
      noMemory(1),
    ],
  },
  riscv_flush_icache: { example: [AT.page, AT.page + PAGE, 0], takes: { 2: bits([0, 1], EINVAL) } },
  membarrier: {
    example: [0, 0],
    takes: { 0: values([0, 1, 2, 4, 16, 64], EINVAL, [8, 32]) },
    refuses: [[EINVAL, "flags", { 1: 1 }], [Errno.EPERM, "a barrier that one has not registered for", { 0: 8 }]],
  },
  userfaultfd: { example: [0], takes: { 0: bits([0, 1, O.CLOEXEC, O.NONBLOCK], EINVAL) } },
  readahead: { example: [FD.file, 0, PAGE], refuses: [noFd(0), [EINVAL, "a pipe", { 0: FD.pipeOut }]] },
};
