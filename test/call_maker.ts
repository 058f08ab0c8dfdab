import { Dcmd, Madv, O, PAGE_SIZE, UffdFeature, type Machine, type Task } from "@faultline/kernel";
import { acceptedValues, SURFACES, SYSCALLS, type Surface, type Syscall } from "@faultline/riscv";
import { Random } from "../packages/checker/test/fuzz.js";

/** As programs/anycall.c has them. */
export const CONTROL_FD = 900;
const ARENA = 0x10_0000_0000;
const ARENA_PAGES = 64;
const RECORDS = 0x10_0100_0000;
const RECORD_SIZE = 8192;
const RECORD_COUNT = 32;
const DATA_AT = 64;
const LOAD = 10_000;
const STORE = 10_001;
/** What the parent asks with. */
const ORDER_SIZE = 16;

/** Tasks at one time, beyond which nobody is cloned. */
const TASKS_MAX = 10;
const NR = { clone: 220, clone3: 435, kill: 129, pidfd_open: 434, read: 63 } as const;
/** Calls whose first argument names a process, or a thread, that may suffer from it. */
const OF_PROCESS = new Set(["kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "prlimit64", "process_vm_writev", "pidfd_open", "sched_setscheduler", "sched_setparam", "sched_setaffinity"]);
/** Addresses and descriptors of the tables of system calls. */
const EXAMPLE_ADDRESSES = 0x10_0000_0000;
const EXAMPLE_CLOSED_FD = 99;

const SIZES = [0, 1, 4, 8, 16, 24, 64, 100, 4095, 4096, 4097, 8192, 65536, 2 ** 21, 2 ** 21 + 4096, 2 ** 32, 2 ** 38, -1, -4096, -(2 ** 63), 2 ** 31, 2 ** 31 - 1];
const TEXTS = [
  "0", "1", "2", "3", "-1", "10", "100", "max", "1G", "4K", "8M", "16777216", "1 2", "never", "always", "madvise", "inherit", "within_size", "advise", "deny", "force",
  "+memory", "-memory", "online", "offline", "online_movable", "18446744073709551615", "18446744073709551616", "-1000", "1000", "1M swappiness=max", "4M", "defer", "defer+madvise",
  "", " ", "\n", "1\n", "x".repeat(5000), "nan", "500", "1000 1000 1000",
];

type Word = number | bigint;

/** What a call is made of: words, and strings or structures that are passed by their address. */
type Value = Word | string | readonly (Word | string)[];
type Made = readonly [name: string | number, ...args: Value[]];

/** The call that a task makes next, by what it has and what there is, from a seed. */
export class CallMaker {
  /** Calls asked for so far. */
  made = 0;
  /** How often each call was asked for, by its name. */
  readonly counts = new Map<string, number>();
  /** By the task's id: where it reads its record. */
  private readonly buffers = new Map<number, number>();
  /** Tasks that are inside a call that was asked for. */
  private readonly making = new Set<number>();
  private parent: Task | null = null;
  private readonly byName = new Map<string, readonly [number, Syscall]>();
  private readonly names: readonly string[];
  private nextRecord = 0;
  /** Calls of the process that makes them, until its end. */
  private left = 0;

  constructor(
    private readonly random: Random,
    private readonly m: Machine,
    private readonly calls: number,
    /** Paths that there are when the machine starts. */
    private readonly paths: readonly string[],
    private readonly handler: () => number,
  ) {
    for (const [number, call] of SYSCALLS) if (call.handler !== null) this.byName.set(call.name, [number, call]);
    this.names = [...this.byName.keys()];
  }

  /** A call begins, of the current task: whoever reads a record does so to the address in its second argument. */
  entering(number: number, fd: number, buffer: number): void {
    const { id } = this.m.current!;
    if (number === NR.read && fd === CONTROL_FD) this.buffers.set(id, buffer);
    else if (this.m.current !== this.parent) this.making.add(id);
  }

  /** Whether the call from which the current task returns is one of those asked for. */
  isMade(): boolean {
    return this.making.delete(this.m.current!.id);
  }

  /** What a task reads from the control descriptor. */
  read(max: number): Uint8Array {
    const { random } = this;
    if (max === ORDER_SIZE) {
      this.parent = this.m.current;
      if (this.made >= this.calls) return new Uint8Array(0);
      this.left = 1 + random.below(random.below(4) === 0 ? 400 : 100);
      // Now and then it is ended while it works.
      const patience = random.below(4) === 0 ? random.below(20) : 200;
      return bytesOf([patience, random.below(2)]);
    }
    const buffer = this.buffers.get(this.m.current!.id) ?? 0;
    if (max < RECORD_SIZE || this.left <= 0 || this.made >= this.calls) return new Uint8Array(0);
    this.left--;
    this.made++;
    return this.record(buffer, this.make());
  }

  private record(at: number, [what, ...values]: Made): Uint8Array {
    const data: number[] = [];
    const word = (value: Value): Word => {
      if (typeof value === "number" || typeof value === "bigint") return value;
      const bytes = typeof value === "string" ? Uint8Array.from([...value, "\0"].map((c) => c.charCodeAt(0))) : bytesOf(value.map(word));
      while (data.length % 8 !== 0) data.push(0);
      if (data.length + bytes.length > RECORD_SIZE - DATA_AT) return 0;
      const address = at + DATA_AT + data.length;
      data.push(...bytes);
      return address;
    };
    const [number, name] = typeof what === "number" ? [what, SYSCALLS.get(what)?.name ?? "unknown"] : [this.byName.get(what)![0], what];
    const args = Array.from({ length: 6 }, (_, i) => word(values[i] ?? this.anything()));
    if (OF_PROCESS.has(name)) args[0] = this.harmless(Number(args[0]));
    // CLONE_PARENT would make siblings that nobody waits for.
    if (number === NR.clone) args[0] = BigInt.asIntN(64, BigInt(args[0]!) & ~0x8000n);
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
    const child = RECORDS + (this.nextRecord++ % RECORD_COUNT) * RECORD_SIZE;
    const head = bytesOf([number, ...args, child]);
    return Uint8Array.from([...head, ...data]);
  }

  /** The parent, and all at once, are spared. */
  private harmless(id: number): number {
    const others = [0, -1, 1, -1 & 0xffff_ffff, this.parent?.id ?? 0, -(this.parent?.id ?? 0)];
    return others.some((one) => (one | 0) === (id | 0)) ? this.m.current!.id : id;
  }

  private make(): Made {
    const { random } = this;
    for (;;) {
      const made = this.family();
      const name = typeof made[0] === "number" ? (SYSCALLS.get(made[0])?.name ?? "") : made[0];
      const crowded = this.m.tasks.size > TASKS_MAX;
      if ((name === "clone" || name === "clone3") && (crowded || random.below(2) === 0)) continue;
      return made;
    }
  }

  private family(): Made {
    const { random } = this;
    switch (random.below(20)) {
      case 0:
        // Any number, any arguments.
        return [random.below(480)];
      case 1:
        return [random.pick(this.names)];
      case 2:
      case 3:
      case 4:
      case 5:
      case 6:
        return this.fromTable();
      case 7:
      case 8:
      case 9:
      case 10:
        return this.memory();
      case 11:
        return [random.below(3) === 0 ? LOAD : STORE, this.address(), 1 + random.below(8)];
      case 12:
      case 13:
        return this.files();
      case 14:
        return this.writing();
      case 15:
        return this.ioctl();
      case 16:
        return this.shared();
      case 17:
      case 18:
        return this.processes();
      default:
        return this.waiting();
    }
  }

  /* What there is. */

  private get task(): Task {
    return this.m.current!;
  }

  private fd(): number {
    const { random } = this;
    if (random.below(30) === 0) return random.pick([-1, -100, CONTROL_FD, 1024, 2 ** 31, 99]);
    const fds = [...this.task.process!.files.entries()].map(([fd]) => fd).filter((fd) => fd !== CONTROL_FD);
    return fds.length === 0 ? -1 : random.pick(fds);
  }

  /** A descriptor of a file whose path, or whose kind of one, has this in it. */
  private fdOf(part: string): number {
    const fds = [...this.task.process!.files.entries()].filter(([, file]) => file.path.includes(part)).map(([fd]) => fd);
    return fds.length === 0 || this.random.below(30) === 0 ? this.fd() : this.random.pick(fds);
  }

  private path(): string {
    const { random } = this;
    switch (random.below(8)) {
      case 0:
      case 1:
        return random.pick(["/tmp/a", "/tmp/b", "/tmp/d", "/tmp/d/c", "a", "b", "d/c", "/dev/shm/s", "/tmp/does/not/exist"]);
      case 2:
        return random.pick(["/tmp", ".", "..", "/", "", "/dev/zero", "/dev/null", "/dev/hmm_dmirror0", "/dev/hmm_dmirror1", "/dev/userfaultfd", "/bin/anycall"]);
      case 3:
        return `/proc/self/${random.pick(["maps", "smaps", "pagemap", "mem", "fd", "fd/0", "comm", "clear_refs", "status", "stat", "oom_score_adj", "exe", "cwd", "root", "environ", "task", "numa_maps", "smaps_rollup", "io", "limits", "cmdline", "map_files"])}`;
      case 4:
        return `${random.pick(this.paths)}${random.pick(["/", "/..", "/x"])}`;
      default:
        return random.pick(this.paths);
    }
  }

  /** A descriptor of a directory, for what begins with one. */
  private dirfd(): number {
    return this.random.below(4) === 0 ? this.fd() : -100;
  }

  /** A range in one of the task's mappings, or beside it: aligned to pages nearly always. */
  private range(): [start: number, length: number] {
    const { random } = this;
    const vmas = this.task.mm?.vmas ?? [];
    if (vmas.length === 0) return [ARENA, PAGE_SIZE];
    // Those of the program itself, and its records, are a few among many: they would be gone at once.
    const own = vmas.filter(({ startVpn }) => startVpn * PAGE_SIZE >= ARENA && (startVpn * PAGE_SIZE < RECORDS || startVpn * PAGE_SIZE >= RECORDS + RECORD_COUNT * RECORD_SIZE));
    const vma = random.pick(own.length === 0 || random.below(100) === 0 ? vmas : own);
    const huge = random.below(4) === 0 && vma.pages >= 512;
    const step = huge ? 512 : 1;
    const first = random.below(3) === 0 ? 0 : Math.floor(random.below(vma.pages) / step) * step;
    const most = Math.max(1, vma.pages - first);
    const pages = random.below(3) === 0 ? most : Math.max(step, 1 + random.below(Math.min(most + 2, 1024)));
    const odd = random.below(40) === 0 ? random.below(PAGE_SIZE) : 0;
    return [(vma.startVpn + first) * PAGE_SIZE + odd, pages * PAGE_SIZE - (random.below(40) === 0 ? random.below(PAGE_SIZE) : 0)];
  }

  private address(): number {
    return this.range()[0];
  }

  private pid(): number {
    const ids = this.m.tasks.keys().filter((id) => this.m.tasks.get(id)!.process !== null && id !== this.parent?.id);
    return this.random.below(10) === 0 ? this.random.pick([0, -1, 1, 2, 99_999, -this.task.id]) : this.random.pick([...ids, this.task.id]);
  }

  private signal(): number {
    return this.random.below(8) === 0 ? this.random.pick([0, 9, 19, 32, 33, 64, 65, -1, 11, 7]) : this.random.pick([1, 10, 12, 14, 17, 18, 20, 23, 34, 40]);
  }

  /** Any one of what arguments may be. */
  private anything(): Word {
    const { random } = this;
    switch (random.below(12)) {
      case 0:
        return random.below(16);
      case 1:
        return this.fd();
      case 2:
      case 3:
        return this.address();
      case 4:
        return ARENA + random.below(ARENA_PAGES * PAGE_SIZE);
      case 5:
      case 6:
        return random.pick(SIZES);
      case 7:
        return this.pid();
      case 8:
      case 9:
        // Into the record, or behind it: other arguments, words of anything.
        return RECORDS + random.below(RECORD_SIZE / 8) * 8;
      case 10:
        return (1n << BigInt(random.below(64))) | (random.below(2) === 0 ? 1n << BigInt(random.below(32)) : 0n);
      default:
        return (BigInt(random.below(2 ** 32)) << 32n) | BigInt(random.below(2 ** 32));
    }
  }

  private flags(values: readonly number[]): number {
    const { random } = this;
    let sum = 0;
    for (let n = random.below(4); n > 0; n--) sum |= random.pick(values);
    if (random.below(30) === 0) sum ^= 1 << random.below(32);
    return sum >>> 0;
  }

  /* Families of calls. */

  /** A call of the table that says what each takes, with what there is in place of what examples name. */
  private fromTable(): Made {
    const { random } = this;
    const name = random.pick(this.names);
    const [, call] = this.byName.get(name)!;
    const surface = SURFACES[name]!;
    const { example, takes = {}, refuses = [] } = surface;
    if (example === null) return [name];
    const args = [...example] as Value[];
    const isFd = (i: number): boolean => refuses.some(([, , change]) => change[i] === EXAMPLE_CLOSED_FD) || example[i] === EXAMPLE_CLOSED_FD;
    if (refuses.length > 0 && random.below(8) === 0) {
      for (const [i, value] of Object.entries(random.pick(refuses)[2])) args[Number(i)] = value;
    }
    for (const i of args.keys()) {
      const taken = takes[i];
      if (random.below(12) === 0) args[i] = this.anything();
      else if (taken !== undefined) args[i] = this.accepted(taken, call.args[i]?.names ?? []);
      else if (isFd(i)) args[i] = this.fd();
      else args[i] = this.like(args[i]!);
    }
    return [name, ...args];
  }

  private accepted(taken: NonNullable<Surface["takes"]>[number], names: readonly (readonly [number, string])[]): number {
    const all = [...acceptedValues(taken), ...names.map(([value]) => value)];
    if (taken.kind === "values") return this.random.pick(all);
    return this.flags(all);
  }

  /** A value of the kind that an example has. */
  private like(value: Value): Value {
    const { random } = this;
    if (typeof value === "string") return this.path();
    if (typeof value === "bigint") return value;
    if (typeof value === "number") {
      if (value >= EXAMPLE_ADDRESSES && value < EXAMPLE_ADDRESSES * 2) return this.address();
      if (value >= PAGE_SIZE) return this.range()[1];
      return random.below(3) === 0 ? random.pick(SIZES) : random.below(4) === 0 ? random.below(64) : value;
    }
    return value.map((word) => {
      if (random.below(8) === 0) return this.anything();
      const like = this.like(word);
      return typeof like === "object" ? word : like;
    });
  }

  private memory(): Made {
    const { random } = this;
    const [start, length] = this.range();
    switch (random.below(14)) {
      case 0:
      case 1:
      case 2:
        return this.mmap();
      case 3:
        return ["munmap", start, length];
      case 4: {
        const to = random.below(3) === 0 ? this.address() : ARENA + 0x4000_0000 + random.below(4096) * PAGE_SIZE;
        return ["mremap", start, length, random.below(2) === 0 ? length : random.below(2048) * PAGE_SIZE, random.pick([0, 1, 3, 5, 7, random.below(8)]), to];
      }
      case 5:
      case 6:
      case 7:
        return ["madvise", start, length, sparing(start, random.below(20) === 0 ? random.below(128) : random.pick(MADVICE))];
      case 8:
        return ["mprotect", start, length, random.below(8)];
      case 9:
        return random.below(6) === 0 ? ["mlockall", 1 + random.below(7)] : [random.pick(["mlock", "mlock2", "munlock"]), start, length, random.below(2)];
      case 10:
        return random.below(3) === 0 ? ["munlockall"] : [random.pick(["msync", "mincore"]), start, length, random.below(2) === 0 ? random.below(8) : this.address()];
      case 11: {
        const other = this.range();
        return [random.pick(["process_vm_readv", "process_vm_writev"]), this.pid(), [start, length], 1, [other[0], other[1]], 1, 0];
      }
      case 12: {
        const pidfd = random.below(2) === 0 ? -10_000 : this.fdOf("pidfd");
        const [other, more] = this.range();
        return ["process_madvise", pidfd, [start, length, other, more], 1 + random.below(2), sparing(Math.min(start, other), random.pick(MADVICE)), 0];
      }
      default:
        if (random.below(12) === 0) return ["mseal", start, length, 0];
        if (random.below(3) === 0) return ["brk", this.task.mm === null ? 0 : this.task.mm.brk + (random.below(64) - 16) * 1024];
        return [random.pick(["mbind", "remap_file_pages"]), start, length, random.below(7), random.below(4), random.below(2), random.below(8)];
    }
  }

  private mmap(): Made {
    const { random } = this;
    const fixed = random.below(3) === 0;
    const at = fixed ? (random.below(2) === 0 ? this.address() : ARENA + 0x4000_0000 + random.below(8192) * PAGE_SIZE) : random.below(4) === 0 ? this.address() : 0;
    const pages = random.pick([1, 1, 2, 4, 16, 64, 512, 513, 1024, 1536, random.below(4096)]);
    const file = random.below(3) === 0;
    let flags = random.pick([1, 2, 2, 3, random.below(16)]) | this.flags([0x100, 0x2000, 0x4000, 0x8000, 0x10000, 0x20000, 0x40000, 0x8]);
    if (random.below(8) !== 0) flags &= ~0x40000;
    if (fixed) flags |= random.below(4) === 0 ? 0x100000 : 0x10;
    if (!file) flags |= 0x20;
    const size = (flags & 0x40000) !== 0 ? Math.ceil(pages / 512) * 512 : pages;
    return ["mmap", at, size * PAGE_SIZE, random.below(8) === 0 ? random.below(16) : random.pick([3, 3, 3, 1, 2, 0, 5, 7]), flags, file ? this.fd() : -1, random.below(3) === 0 ? random.below(64) * PAGE_SIZE : 0];
  }

  private files(): Made {
    const { random } = this;
    const [start, length] = this.range();
    switch (random.below(14)) {
      case 0:
      case 1:
      case 2:
        return ["openat", this.dirfd(), this.path(), random.pick([O.RDONLY, O.RDWR, O.WRONLY, O.RDWR | O.CREAT, O.RDWR | O.CREAT]) | this.flags([O.CREAT, O.EXCL, O.TRUNC, O.APPEND, O.NONBLOCK, O.DIRECT, O.DIRECTORY, O.NOFOLLOW, O.CLOEXEC, O.PATH, O.TMPFILE]), 0o644];
      case 3:
        return ["memfd_create", "name", this.flags([1, 2, 2, 8, 16, random.below(4) === 0 ? 4 : 0])];
      case 4:
        return random.below(2) === 0
          ? ["ftruncate", this.fd(), random.pick([0, 1, 4096, 65536, 2 ** 21, 2 ** 22, random.below(2 ** 23), -1, 2 ** 40])]
          : ["fallocate", this.fdOf("memfd"), random.pick([0, 1, 3, 3, random.below(256)]), random.below(512) * PAGE_SIZE + random.pick([0, 0, 1]), random.pick([PAGE_SIZE, 2 ** 21, random.below(2 ** 22)])];
      case 5:
        return [random.pick(["read", "write", "pread64", "pwrite64", "getdents64"]), this.fd(), start, random.below(6) === 0 ? random.pick(SIZES) : Math.min(length, 2 ** 20), random.below(2 ** 20)];
      case 6:
        return [random.pick(["readv", "writev", "preadv", "pwritev"]), this.fd(), [start, random.below(8192), ...this.range()], 1 + random.below(2), random.below(65536)];
      case 7:
        return ["lseek", this.fd(), random.pick([0, 1, 4096, 2 ** 21, -1, random.below(2 ** 22)]), random.below(6)];
      case 8:
        return [random.pick(["mkdirat", "unlinkat", "fchmodat", "faccessat"]), this.dirfd(), this.path(), random.pick([0, 0o755, 0x200, 0o777])];
      case 9:
        return random.below(2) === 0 ? ["renameat2", -100, this.path(), -100, this.path(), random.below(8)] : ["linkat", this.dirfd(), this.path(), -100, this.path(), random.pick([0, 0x400, 0x1000])];
      case 10:
        return random.below(3) === 0
          ? ["umount2", this.path(), random.below(16)]
          : ["mount", "none", random.pick(["/tmp", "/tmp/d", "/dev/shm", "/tmp/a", this.path()]), random.pick(["tmpfs", "tmpfs", "hugetlbfs", "proc", "sysfs", "cgroup2", "none"]), this.flags([1, 2, 4, 8, 32, 4096]), random.pick(["", "size=1M", "size=50%", "nr_inodes=10", "huge=always", "huge=within_size", "pagesize=2M,size=4M", "mode=1777", "size=0", "x"])];
      case 11:
        return ["fcntl", this.fd(), random.pick([0, 1, 2, 3, 4, 1030, 1031, 1032, 1033, 1033, 1034, random.below(12)]), random.pick([0, 1, 2, 4, 8, 16, 32, 4096, 65536, O.NONBLOCK, O.DIRECT])];
      case 12:
        return random.below(2) === 0 ? ["close", this.fd()] : [random.pick(["dup3", "dup"]), this.fd(), random.below(24), random.pick([0, 0, O.CLOEXEC])];
      default:
        return random.below(2) === 0 ? ["pipe2", this.address(), this.flags([O.NONBLOCK, O.NONBLOCK, O.CLOEXEC])] : ["vmsplice", this.fdOf("pipe"), [start, Math.min(length, 65536)], 1, random.below(16)];
    }
  }

  /** Text for files that read it. */
  private writing(): Made {
    const { random } = this;
    const text = random.below(20) === 0 ? String(this.pid()) : random.pick(TEXTS);
    const opened = [...this.task.process!.files.entries()].filter(([, file]) => /^\/(proc|sys)/.test(file.path) && (file.flags & O.ACCMODE) !== O.RDONLY).map(([fd]) => fd);
    if (opened.length === 0 || random.below(3) === 0) return ["openat", -100, random.pick(this.paths.filter((path) => /^\/(proc\/sys|sys|proc\/self)/.test(path))), random.pick([O.RDWR, O.WRONLY]), 0];
    return ["write", random.pick(opened), text, text.length];
  }

  private ioctl(): Made {
    const { random } = this;
    const [start, length] = this.range();
    const other = this.address();
    const uffd = this.fdOf("userfaultfd");
    switch (random.below(16)) {
      case 0:
        return ["userfaultfd", random.pick([1, 1 | O.NONBLOCK, O.NONBLOCK, 0])];
      case 1:
        return ["ioctl", uffd, 0xc018aa3f, [random.below(20) === 0 ? 0 : 0xaa, random.below(3) === 0 ? 0 : this.flags(UFFD_FEATURES), 0]];
      case 2:
      case 3:
        return ["ioctl", uffd, 0xc020aa00, [start, length, random.below(9), 0]];
      case 4:
        return ["ioctl", uffd, random.pick([0x8010aa01, 0x8010aa02]), [start, length]];
      case 5:
        return ["ioctl", uffd, 0xc028aa03, [start, other, length, random.below(4), 0]];
      case 6:
        return ["ioctl", uffd, random.pick([0xc020aa04, 0xc020aa07, 0xc020aa08]), [start, length, random.below(4), 0]];
      case 7:
        return ["ioctl", uffd, 0xc028aa05, [start, other, length, random.below(4), 0]];
      case 8:
        return ["ioctl", uffd, 0xc018aa06, [start, length, random.below(4)]];
      case 9:
        return ["read", uffd, this.address(), 32 * random.below(4)];
      case 10:
      case 11:
        return ["ioctl", this.fdOf("hmm_dmirror"), random.pick([Dcmd.READ, Dcmd.WRITE, Dcmd.SNAPSHOT, Dcmd.EXCLUSIVE, Dcmd.EXCLUSIVE, Dcmd.CHECK_EXCLUSIVE]), [start, other, Math.ceil(length / PAGE_SIZE), 0, 0]];
      case 12:
        return ["openat", -100, random.pick(["/dev/hmm_dmirror0", "/dev/hmm_dmirror1", "/dev/userfaultfd", "/proc/self/pagemap", "/proc/self/maps", "/proc/self/mem"]), O.RDWR, 0];
      case 13:
        // PAGEMAP_SCAN
        return ["ioctl", this.fdOf("pagemap"), 0xc0606610, [96, random.below(4), start, start + length, 0, other, random.below(64), random.below(100), random.below(256), random.below(256), random.below(256), random.below(256)]];
      case 14:
        // PROCMAP_QUERY
        return ["ioctl", this.fdOf("maps"), 0xc0686611, [104, random.below(64), start, 0, 0, 0, 0, 0, 0, (64n << 32n) | 64n, other, other, 0]];
      default:
        return ["ioctl", this.fd(), random.pick([0x5401, 0x5413, 0x541b, 0x5421, 0x5450, 0x5451, 0xaa00, this.anything()]), this.address()];
    }
  }

  /** Memory that processes share by a name. */
  private shared(): Made {
    const { random } = this;
    const ids = this.m.shm.all().map(({ id }) => id);
    const id = ids.length === 0 || random.below(20) === 0 ? random.below(8) : random.pick(ids);
    switch (random.below(6)) {
      case 0:
      case 1:
        return ["shmget", random.pick([0, 1, 2, 3]), random.pick([1, 4096, 65536, 2 ** 21, 2 ** 22]), random.pick([0o1666, 0o1666, 0o3666, 0o5600, 0])];
      case 2:
      case 3:
        return ["shmat", id, random.below(2) === 0 ? 0 : this.address(), random.pick([0, 0, 0o10000, 0o20000, 0o40000, 0o100000])];
      case 4:
        return ["shmdt", random.below(2) === 0 ? this.address() : ARENA];
      default:
        return ["shmctl", id, random.pick([0, 0, 1, 2, 3, 11, 12, 13, 14, 15]), this.address()];
    }
  }

  private processes(): Made {
    const { random } = this;
    const stack = random.below(2) === 0 ? 0 : this.address();
    switch (random.below(16)) {
      case 0:
      case 1:
        return ["clone", random.pick(CLONES) | this.flags([0x200, 0x400, 0x1000, 0x80000, 0x100000, 0x200000, 0x1000000]), stack, this.address(), this.address(), this.address()];
      case 2: {
        const flags = random.pick(CLONES);
        const words = [flags & ~255, this.address(), this.address(), this.address(), flags & 255, random.below(2) === 0 ? 0 : this.address(), random.pick([0, 4096, 65536]), 0, 0, 0, 0];
        return ["clone3", words, random.pick([64, 80, 88, 100])];
      }
      case 3: {
        const path = random.below(3) === 0 ? this.path() : random.pick(["/bin/anycall", "/proc/self/exe"]);
        const args = random.pick([0, this.address(), ["anycall", 0], ["anycall", "-", "x".repeat(random.below(2000)), 0]]);
        return random.below(3) === 0 ? ["execveat", this.dirfd(), path, args, 0, this.flags([0x1000, 0x100, 0x10000])] : ["execve", path, args, random.pick([0, ["A=1", 0]])];
      }
      case 4:
      case 5:
        return ["kill", this.pid(), this.signal()];
      case 6:
        return random.below(2) === 0 ? ["tkill", this.pid(), this.signal()] : ["tgkill", this.pid(), this.pid(), this.signal()];
      case 7:
      case 8:
        return ["rt_sigaction", this.signal(), [random.pick([0, 1, this.handler(), this.handler(), this.handler(), this.address()]), this.flags([4, 0x8000000, 0x10000000, 0x40000000, 0x80000000]), random.pick([0, -1, 1 << random.below(30)])], 0, 8];
      case 9:
        return ["rt_sigprocmask", random.below(3), [random.pick([0, -1, 1 << random.below(30)])], random.below(2) === 0 ? 0 : this.address(), 8];
      case 10:
        return ["sigaltstack", [this.address(), random.pick([0, 0, 2, 0x80000000]), random.pick([2048, 8192, 65536])], 0];
      case 11:
        return ["wait4", random.pick([-1, -1, 0, this.pid()]), random.below(2) === 0 ? 0 : this.address(), this.flags([1, 1, 2, 8, 0x40000000]), 0];
      case 12:
        return ["pidfd_open", this.pid(), random.pick([0, 0, O.NONBLOCK])];
      case 13:
        return random.below(2) === 0 ? ["pidfd_getfd", this.fdOf("pidfd"), random.below(12), 0] : ["process_mrelease", this.fdOf("pidfd"), 0];
      case 14:
        return ["prlimit64", 0, random.below(16), [random.pick([0, 4096, 65536, 2 ** 21, 2 ** 24, -1, 16]), -1], 0];
      default:
        return random.below(10) === 0 ? [random.pick(["exit", "exit_group"]), random.below(300)] : [random.pick(["setsid", "setpgid", "getsid", "getpgid", "sched_yield", "setuid", "setpriority"]), random.pick([0, 0, this.pid()]), 0];
    }
  }

  /** What wakes, and waits for it; timers. */
  private waiting(): Made {
    const { random } = this;
    const soon = random.pick([0, 1, 1000, 100_000, 1_000_000, 999_999_999, 1_000_000_000]);
    const [start] = this.range();
    const word = Math.floor(start / 4) * 4;
    switch (random.below(12)) {
      case 0:
        return ["epoll_create1", 0];
      case 1:
      case 2:
        return ["epoll_ctl", this.fdOf("eventpoll"), 1 + random.below(3), this.fd(), [BigInt(this.flags([1, 4, 8, 0x10, 0x80000000, 0x40000000, 0x20000000, 0x10000000])), 7]];
      case 3:
        return ["epoll_pwait", this.fdOf("eventpoll"), this.address(), 1 + random.below(8), random.pick([0, 0, 1, 10, -1]), 0, 8];
      case 4:
        return ["futex", word, random.pick([0, 1, 9, 10, 3, 4, 5, 128, 129, random.below(16)]), random.below(3), random.below(2) === 0 ? [0, soon] : random.below(4), word + 4, random.pick([-1, 1, 0])];
      case 5:
        return ["setitimer", random.below(3), [0, Math.floor(soon / 1000), 0, Math.floor(soon / 1000)], 0];
      case 6:
        return ["timer_create", random.below(8), random.below(2) === 0 ? 0 : [0, BigInt(this.signal()) | (BigInt(random.below(5)) << 32n), this.task.id, 0, 0, 0, 0, 0], this.address()];
      case 7:
        return [random.pick(["timer_settime", "timer_settime", "timer_delete", "timer_getoverrun", "timer_gettime"]), random.below(4), random.below(2), [0, soon, 0, soon], 0];
      case 8:
        return ["nanosleep", [0, soon], 0];
      case 9:
        return ["ppoll", [BigInt(this.fd() >>> 0) | (BigInt(random.below(64)) << 32n), BigInt(this.fd() >>> 0) | (5n << 32n)], 1 + random.below(2), [0, soon], 0, 8];
      case 10:
        return ["eventfd2", random.below(4), this.flags([1, O.NONBLOCK])];
      default:
        return random.below(2) === 0 ? ["socketpair", 1, random.pick([1, 2, 5]) | this.flags([O.NONBLOCK]), 0, this.address()] : [random.pick(["sendto", "recvfrom"]), this.fdOf("socket"), start, random.below(8192), this.flags([0x40, 2, 1]), 0, 0];
    }
  }
}

/** Advice about what begins there, and further up: never that memory of the program itself is broken, which it shares with the first, which waits for all. */
function sparing(start: number, advice: number): number {
  return advice === Madv.HWPOISON && start < ARENA ? Madv.SOFT_OFFLINE : advice;
}

const MADVICE = [
  Madv.NORMAL, Madv.RANDOM, Madv.SEQUENTIAL, Madv.WILLNEED, Madv.DONTNEED, Madv.FREE, Madv.REMOVE, Madv.DONTFORK, Madv.DOFORK, Madv.HUGEPAGE, Madv.NOHUGEPAGE, Madv.WIPEONFORK, Madv.KEEPONFORK,
  Madv.COLD, Madv.PAGEOUT, Madv.PAGEOUT, Madv.POPULATE_READ, Madv.POPULATE_WRITE, Madv.DONTNEED_LOCKED, Madv.COLLAPSE, Madv.GUARD_INSTALL, Madv.GUARD_REMOVE, Madv.SOFT_OFFLINE, Madv.HWPOISON,
  Madv.MERGEABLE, Madv.UNMERGEABLE,
];
const UFFD_FEATURES = Object.values(UffdFeature).filter((value): value is UffdFeature => typeof value === "number");
/** Flags of clone that go together, with the signal of a child. */
const CLONES = [17, 17, 17, 0x100 | 17, 0x4100 | 17, 0x100 | 0x800 | 0x200 | 0x400 | 0x10000, 0x100 | 0x800 | 0x10000, 0x800 | 0x100 | 17, 0, 10];

function bytesOf(words: readonly Word[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(words.length * 8));
  words.forEach((word, i) => {
    view.setBigInt64(i * 8, BigInt.asIntN(64, BigInt(word)), true);
  });
  return new Uint8Array(view.buffer);
}
