import { EXEC } from "./exec.js";
import { EVENT } from "./event.js";
import { FS } from "./fs.js";
import { MM } from "./mm.js";
import { PIDFD } from "./pidfd.js";
import { POSIX_TIMERS } from "./posix_timers.js";
import { PROCESS } from "./process.js";
import { SIGNAL } from "./signal.js";
import type { Surfaces } from "./surface.js";
import { TIME } from "./time.js";

/** What each system call of the table takes and refuses, by its name. */
export const SURFACES: Surfaces = { ...EVENT, ...EXEC, ...FS, ...MM, ...PIDFD, ...POSIX_TIMERS, ...PROCESS, ...SIGNAL, ...TIME };
