import { EXEC } from "./exec.js";
import { CRED } from "./cred.js";
import { EVENT } from "./event.js";
import { FS } from "./fs.js";
import { IPC } from "./ipc.js";
import { MM } from "./mm.js";
import { MQUEUE } from "./mqueue.js";
import { NUMA } from "./numa.js";
import { OTHER } from "./other.js";
import { PIDFD } from "./pidfd.js";
import { POSIX_TIMERS } from "./posix_timers.js";
import { PROCESS } from "./process.js";
import { SCHED } from "./sched.js";
import { SIGNAL } from "./signal.js";
import { SOCKET } from "./socket.js";
import { SPLICE } from "./splice.js";
import type { Surfaces } from "./surface.js";
import { TIME } from "./time.js";
import { XATTR } from "./xattr.js";

/** What each system call of the table takes and refuses, by its name. */
export const SURFACES: Surfaces = { ...CRED, ...EVENT, ...EXEC, ...FS, ...IPC, ...MM, ...MQUEUE, ...NUMA, ...OTHER, ...PIDFD, ...POSIX_TIMERS, ...PROCESS, ...SCHED, ...SIGNAL, ...SOCKET, ...SPLICE, ...TIME, ...XATTR };
