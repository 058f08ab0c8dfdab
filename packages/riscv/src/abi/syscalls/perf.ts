import { Errno, isPerfEvent, type MaySleep, type PerfEventAttr } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { getI64, readStruct } from "../user.js";
import * as F from "./format.js";
import { fileOf, installOrPut } from "./fs.js";
import { call, int, type Handler, type Syscall } from "./syscall.js";

/** struct perf_event_attr in bytes: its first version, and as it is now. */
const ATTR_SIZE_VER0 = 64;
const ATTR_SIZE = 144;
const PAGE_SIZE = 4096;
const PATH_MAX = 4096;

/** Where its members lie that mean something here. */
const AT = { size: 4, config: 8, samplePeriod: 16, sampleType: 24, readFormat: 32, flags: 40, config1: 56, config2: 64, reserved2: 110 } as const;

/** Bits of its flags. */
const Flag = { disabled: 0, inherit: 1, excludeKernel: 5, freq: 10, enableOnExec: 12, inheritThread: 35, removeOnExec: 36, sigtrap: 37 } as const;
const FLAGS = 40n;
const SAMPLE_TYPES = 25n;
const READ_FORMATS = 5n;
/** sample_freq must not be above kernel.perf_event_max_sample_rate. */
const MAX_SAMPLE_RATE = 100_000n;

enum PerfFlag {
  FD_NO_GROUP = 1,
  FD_OUTPUT = 2,
  PID_CGROUP = 4,
  FD_CLOEXEC = 8,
}

/** The attributes, those of an older version with zeros behind; an errno otherwise, and for sizes that are not known what is. */
function* copyAttr(t: GuestThread, address: number): MaySleep<DataView | number> {
  const { k } = t;
  const given = yield* k.uaccess.getUser32(k, address + AT.size);
  if (given === null) return -Errno.EFAULT;
  const size = given === 0 ? ATTR_SIZE_VER0 : given;
  const bytes = size < ATTR_SIZE_VER0 || size > PAGE_SIZE ? null : yield* readStruct(k, address, size);
  if (bytes === null && size >= ATTR_SIZE_VER0 && size <= PAGE_SIZE) return -Errno.EFAULT;
  if (bytes === null || new Uint8Array(bytes.buffer).subarray(ATTR_SIZE).some((byte) => byte !== 0)) {
    yield* k.uaccess.putUser32(k, address + AT.size, ATTR_SIZE);
    return -Errno.E2BIG;
  }
  const whole = new Uint8Array(ATTR_SIZE);
  whole.set(new Uint8Array(bytes.buffer).subarray(0, ATTR_SIZE));
  const view = new DataView(whole.buffer);
  const flags = view.getBigUint64(AT.flags, true);
  const has = (bit: number): boolean => ((flags >> BigInt(bit)) & 1n) !== 0n;
  const unknown =
    flags >> FLAGS !== 0n || view.getUint16(AT.reserved2, true) !== 0 || view.getBigUint64(AT.sampleType, true) >> SAMPLE_TYPES !== 0n || view.getBigUint64(AT.readFormat, true) >> READ_FORMATS !== 0n;
  if (unknown || (has(Flag.inheritThread) && !has(Flag.inherit)) || (has(Flag.removeOnExec) && has(Flag.enableOnExec)) || (has(Flag.sigtrap) && !has(Flag.removeOnExec))) return -Errno.EINVAL;
  return view;
}

/** A path by its address: null for none, -E2BIG for one that is too long. */
function* pathAt(t: GuestThread, address: number): MaySleep<string | number | null> {
  if (address === 0) return null;
  const path = yield* t.k.uaccess.strncpyFromUser(t.k, address, PATH_MAX);
  return path === -Errno.ENAMETOOLONG ? -Errno.E2BIG : path;
}

const perf_event_open: Handler = function* (t, [address, pid, cpu, group, given]) {
  const { k } = t;
  const flags = given!;
  if ((flags & ~(PerfFlag.FD_NO_GROUP | PerfFlag.FD_OUTPUT | PerfFlag.PID_CGROUP | PerfFlag.FD_CLOEXEC)) !== 0 || flags > 15) return -Errno.EINVAL;
  const view = yield* copyAttr(t, address!);
  if (typeof view === "number") return view;
  const bits = view.getBigUint64(AT.flags, true);
  const has = (bit: number): boolean => ((bits >> BigInt(bit)) & 1n) !== 0n;
  if (!has(Flag.excludeKernel) && k.m.perfEvents.paranoid > 1 && !k.perfEvent.perfmonCapable(k)) return -Errno.EACCES;
  const period = view.getBigUint64(AT.samplePeriod, true);
  if (has(Flag.freq) ? period > MAX_SAMPLE_RATE : period >> 63n !== 0n) return -Errno.EINVAL;
  if ((flags & PerfFlag.PID_CGROUP) !== 0) return int(pid!) === -1 || int(cpu!) === -1 ? -Errno.EINVAL : -Errno.EBADF;
  if (int(group!) !== -1) {
    const leader = fileOf(t, group!);
    if (leader === null || !isPerfEvent(leader)) return -Errno.EBADF;
    k.m.dmesg.printOnce(`${t.task.comm}[${t.task.id}]: groups of perf events are not implemented`);
    return -Errno.EINVAL;
  }
  const attr: PerfEventAttr = {
    type: view.getUint32(0, true),
    config: view.getBigUint64(AT.config, true),
    readFormat: Number(view.getBigUint64(AT.readFormat, true)),
    disabled: has(Flag.disabled),
    inherit: has(Flag.inherit),
    inheritThread: has(Flag.inheritThread),
    enableOnExec: has(Flag.enableOnExec),
    uprobePath: () => pathAt(t, getI64(view, AT.config1)),
    probeOffset: getI64(view, AT.config2),
  };
  const file = yield* k.perfEvent.perfEventOpen(k, attr, int(pid!), int(cpu!));
  return typeof file === "number" ? file : yield* installOrPut(t, file, (flags & PerfFlag.FD_CLOEXEC) !== 0, 0);
};

const PERF_FLAGS = F.flags([[1, "PERF_FLAG_FD_NO_GROUP"], [2, "PERF_FLAG_FD_OUTPUT"], [4, "PERF_FLAG_PID_CGROUP"], [8, "PERF_FLAG_FD_CLOEXEC"]]);

export const PERF: readonly (readonly [number, Syscall])[] = [
  [241, call("perf_event_open", [F.POINTER, F.INT, F.INT, F.INT, PERF_FLAGS], perf_event_open, "probes of user space, which count; no events of other types, no groups, and no samples")],
];
