import { ATTR } from "./attr.js";
import { CAPABILITY } from "./capability.js";
import { CRED } from "./cred.js";
import { EVENT } from "./event.js";
import { FCNTL } from "./fcntl.js";
import { FS } from "./fs.js";
import { FUTEX } from "./futex.js";
import { MLOCK } from "./mlock.js";
import { MM } from "./mm.js";
import { PROCESS_VM } from "./process_vm.js";
import { NUMA } from "./numa.js";
import { OPENAT2 } from "./openat2.js";
import { OTHER } from "./other.js";
import { PERF } from "./perf.js";
import { PIDFD } from "./pidfd.js";
import { MSG } from "./msg.js";
import { MQUEUE } from "./mqueue.js";
import { MOUNT } from "./mount.js";
import { POSIX_TIMERS } from "./posix_timers.js";
import { PROCESS } from "./process.js";
import { SELECT } from "./select.js";
import { SEM } from "./sem.js";
import { SHM } from "./shm.js";
import { SCHED } from "./sched.js";
import { SIGNAL } from "./signal.js";
import { SOCKET } from "./socket.js";
import { SPLICE } from "./splice.js";
import type { Table } from "./syscall.js";
import { TIME } from "./time.js";
import { XATTR } from "./xattr.js";

/** Every system call that is known, by its riscv64 number: what it is called, takes and does. */
export const SYSCALLS: Table = new Map(
  [
    ...ATTR,
    ...CAPABILITY,
    ...CRED,
    ...EVENT,
    ...FCNTL,
    ...FS,
    ...FUTEX,
    ...MLOCK,
    ...MM,
    ...MOUNT,
    ...MSG,
    ...MQUEUE,
    ...NUMA,
    ...OPENAT2,
    ...OTHER,
    ...PERF,
    ...PIDFD,
    ...POSIX_TIMERS,
    ...PROCESS,
    ...PROCESS_VM,
    ...SELECT,
    ...SEM,
    ...SHM,
    ...SCHED,
    ...SIGNAL,
    ...SOCKET,
    ...SPLICE,
    ...TIME,
    ...XATTR,
  ].sort(([a], [b]) => a - b),
);
