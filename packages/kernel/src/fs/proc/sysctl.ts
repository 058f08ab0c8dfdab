import { SWITCH, type MaySleep } from "../../kernel/coroutine.js";
import { Errno } from "../../kernel/errno.js";
import { CAP_LAST } from "../../kernel/capability.js";
import { Op } from "../../kernel/op.js";
import { NumaBalancing } from "../../mm/numa.js";
import type { VmSysctl } from "../../mm/vm_sysctl.js";
import { IPCMNI } from "../../kernel/ipc.js";
import { maxThreads } from "../../kernel/rlimit.js";
import { PID_MAX } from "../../kernel/sched.js";
import type { Kernel } from "../../kernel.js";
import { PIPE_MAX_SIZE } from "../pipe.js";
import { parseInteger, TextFile, type PseudoDir } from "../pseudo.js";
import type { UtsName } from "../vfs.js";
import { addSysctlLong, addSysctlNumber } from "./sysctl_number.js";
import { populateVmSettings } from "./sysctl_vm.js";

const INT_MAX = 2 ** 31 - 1;
/** As text: a number here has 53 bits. */
const LONG_MAX = "9223372036854775807";
/** fs.nr_open: no process may have more descriptors. */
const NR_OPEN = 1_048_576;
/** What the pool of entropy holds. */
const RANDOM_BITS = 256;
/** A machine boots once. */
const BOOT_ID = "faa17111-0000-4000-8000-000000000001";

/** A random UUID, of version 4. */
function newUuid(k: Kernel): string {
  const bytes = Array.from({ length: 16 }, () => k.m.choices.pick("uuid", 256));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/**
 * /proc/sys: what the machine really has. Values that nothing here can change are read-only, where
 * Linux lets root write them.
 */
export function populateSysctl(sys: PseudoDir, uts: UtsName): void {
  const { fs } = sys;
  const readOnly = (dir: PseudoDir, name: string, value: (k: Kernel) => string | number): void => {
    dir.add(
      name,
      new TextFile(fs, {
        mode: 0o444,
        strict: true,
        *show(k) {
          if (k.m.point(Op.Stats, 0)) yield SWITCH;
          return `${value(k)}\n`;
        },
      }),
    );
  };
  const kernel = sys.dir("kernel");
  readOnly(kernel, "ostype", () => uts.sysname);
  readOnly(kernel, "osrelease", () => uts.release);
  readOnly(kernel, "version", () => uts.version);
  readOnly(kernel, "hostname", () => uts.nodename);
  readOnly(kernel, "pid_max", () => PID_MAX);
  readOnly(kernel, "threads-max", (k) => maxThreads(k.m));
  readOnly(kernel, "cap_last_cap", () => CAP_LAST);
  readOnly(kernel, "ngroups_max", () => 65536);
  readOnly(kernel, "randomize_va_space", () => 2);
  readOnly(kernel, "tainted", () => 0);
  readOnly(kernel, "core_pattern", () => "core");
  readOnly(kernel, "sched_rr_timeslice_ms", () => 100);
  const random = kernel.dir("random");
  readOnly(random, "entropy_avail", () => RANDOM_BITS);
  readOnly(random, "poolsize", () => RANDOM_BITS);
  readOnly(random, "boot_id", () => BOOT_ID);
  readOnly(random, "uuid", (k) => newUuid(k));
  const files = sys.dir("fs");
  readOnly(files, "file-max", () => LONG_MAX);
  readOnly(files, "nr_open", () => NR_OPEN);
  readOnly(files, "pipe-max-size", () => PIPE_MAX_SIZE);
  addSysctlNumber(kernel, "numa_balancing", {
    min: 0,
    max: NumaBalancing.NORMAL | NumaBalancing.MEMORY_TIERING,
    get: (k) => k.m.numa.balancing,
    set: (k, value) => void (k.m.numa.balancing = value),
  });
  addSysctlNumber(kernel, "numa_balancing_promote_rate_limit_MBps", {
    min: 0,
    max: INT_MAX,
    get: (k) => k.m.numa.promoteRateLimitMBps,
    set: (k, value) => void (k.m.numa.promoteRateLimitMBps = value),
  });
  addSysctlNumber(kernel, "perf_event_paranoid", { min: -INT_MAX - 1, max: INT_MAX, get: (k) => k.m.perfEvents.paranoid, set: (k, value) => void (k.m.perfEvents.paranoid = value) });
  addSysctlLong(kernel, "shmmax", (k) => k.m.shm.maxBytes, (k, value) => (k.m.shm.maxBytes = value));
  addSysctlLong(kernel, "shmall", (k) => k.m.shm.maxPages, (k, value) => (k.m.shm.maxPages = value));
  addSysctlNumber(kernel, "shmmni", { min: 0, max: IPCMNI, get: (k) => k.m.shm.mni, set: (k, value) => void (k.m.shm.mni = value) });
  const messages = (name: string, max: number, key: "max" | "mnb" | "mni"): void => {
    addSysctlNumber(kernel, name, { min: 0, max, get: (k) => k.m.msg[key], set: (k, value) => void (k.m.msg[key] = value) });
  };
  messages("msgmax", INT_MAX, "max");
  messages("msgmnb", INT_MAX, "mnb");
  messages("msgmni", IPCMNI, "mni");
  readOnly(kernel, "sem", ({ m: { sem: { limits } } }) => [limits.perSet, limits.all, limits.ops, limits.sets].join("\t"));
  const mqueue = sys.dir("fs").dir("mqueue");
  const limit = (name: string, min: number, max: number, key: "queuesMax" | "msgMax" | "msgsizeMax" | "msgDefault" | "msgsizeDefault"): void => {
    addSysctlNumber(mqueue, name, { min, max, get: (k) => k.m.mqueues[key], set: (k, value) => void (k.m.mqueues[key] = value) });
  };
  limit("queues_max", 0, INT_MAX, "queuesMax");
  limit("msg_max", 1, 65_536, "msgMax");
  limit("msgsize_max", 128, 16 * 1024 * 1024, "msgsizeMax");
  limit("msg_default", 1, 65_536, "msgDefault");
  limit("msgsize_default", 128, 16 * 1024 * 1024, "msgsizeDefault");
  const vm = sys.dir("vm");
  const number = (name: string, max: number, get: (sysctl: VmSysctl) => number, set: (sysctl: VmSysctl, value: number) => void): void => {
    addSysctlNumber(vm, name, { min: 0, max, get: (k) => get(k.m.vmSysctl), set: (k, value) => void set(k.m.vmSysctl, value) });
  };
  number("overcommit_memory", 2, (vm) => vm.overcommitMemory, (vm, value) => (vm.overcommitMemory = value));
  // Of the two, the one that was set last counts.
  number("overcommit_ratio", INT_MAX, (vm) => vm.overcommitRatio, (vm, value) => Object.assign(vm, { overcommitRatio: value, overcommitKbytes: 0 }));
  number("overcommit_kbytes", Number.MAX_SAFE_INTEGER, (vm) => vm.overcommitKbytes, (vm, value) =>
    Object.assign(vm, { overcommitKbytes: value, overcommitRatio: value === 0 ? vm.overcommitRatio : 0 }),
  );
  number("admin_reserve_kbytes", Number.MAX_SAFE_INTEGER, (vm) => vm.adminReserveKbytes, (vm, value) => (vm.adminReserveKbytes = value));
  number("user_reserve_kbytes", Number.MAX_SAFE_INTEGER, (vm) => vm.userReserveKbytes, (vm, value) => (vm.userReserveKbytes = value));
  number("max_map_count", INT_MAX, (vm) => vm.maxMapCount, (vm, value) => (vm.maxMapCount = value));
  number("mmap_min_addr", Number.MAX_SAFE_INTEGER, (vm) => vm.mmapMinAddr, (vm, value) => (vm.mmapMinAddr = value));
  addSysctlNumber(vm, "unprivileged_userfaultfd", {
    min: 0,
    max: 1,
    get: (k) => k.m.unprivilegedUserfaultfd,
    set: (k, value) => void (k.m.unprivilegedUserfaultfd = value),
  });
  addHugetlb(vm);
  populateVmSettings(vm);
}

/** nr_hugepages and its like, of the default size. */
function addHugetlb(vm: PseudoDir): void {
  const add = (name: string, get: (k: Kernel) => number, set: (k: Kernel, value: number) => MaySleep<number>): void => {
    vm.add(
      name,
      new TextFile(vm.fs, {
        mode: 0o644,
        strict: true,
        *show(k) {
          if (k.m.point(Op.GuardedRead, k.m.hugetlb.lock.id)) yield SWITCH;
          return `${get(k)}\n`;
        },
        *store(k, text) {
          const value = parseInteger(text);
          if (value === null || value < 0) return -Errno.EINVAL;
          return yield* set(k, value);
        },
      }),
    );
  };
  const resize = (mask: (k: Kernel) => number) => function* (k: Kernel, count: number): MaySleep<number> {
    yield* k.hugetlbPool.setMaxHugePages(k, k.m.hugetlb.defaultHstate, count, mask(k));
    return 0;
  };
  add("nr_hugepages", (k) => k.m.hugetlb.defaultHstate.maxHugePages, resize(() => -1));
  add("nr_hugepages_mempolicy", (k) => k.m.hugetlb.defaultHstate.maxHugePages, resize((k) => k.mempolicy.taskNodeMask(k)));
  add("nr_overcommit_hugepages", (k) => k.m.hugetlb.defaultHstate.nrOvercommitHugePages, function* (k, count) {
    if (k.m.point(Op.GuardedRead, k.m.hugetlb.lock.id)) yield SWITCH;
    k.m.touches(Op.SpinLock, k.m.hugetlb.lock.id);
    k.m.hugetlb.defaultHstate.nrOvercommitHugePages = count;
    return 0;
  });
  add("hugetlb_shm_group", (k) => k.m.hugetlb.shmGroup, function* (k, gid) {
    if (k.m.point(Op.Stats, 0)) yield SWITCH;
    k.m.hugetlb.shmGroup = gid;
    return 0;
  });
}
