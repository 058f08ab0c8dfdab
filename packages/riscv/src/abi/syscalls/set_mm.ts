import { Cap, capable, Errno, inodePermission, May, Op, PAGE_SIZE, rlimit, Rlimit, SWITCH, USER_VPN_END, type MaySleep, type Mm } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { getU64, readStruct } from "../user.js";
import { int } from "./syscall.js";

/** PR_SET_MM_* beside those of one address. */
enum SetMm {
  AUXV = 12,
  EXE_FILE = 13,
  MAP = 14,
  MAP_SIZE = 15,
}

type Place = "startCode" | "endCode" | "startData" | "endData" | "startBrk" | "brk" | "startStack" | "argStart" | "argEnd" | "envStart" | "envEnd";
type Places = Record<Place, number>;

/** As struct prctl_mm_map has them. */
const PLACES: readonly Place[] = ["startCode", "endCode", "startData", "endData", "startBrk", "brk", "startStack", "argStart", "argEnd", "envStart", "envEnd"];
/** What PR_SET_MM_START_CODE, which is 1, and those behind it set. */
const ONE_BY_ONE: readonly Place[] = ["startCode", "endCode", "startData", "endData", "startStack", "startBrk", "brk", "argStart", "argEnd", "envStart", "envEnd"];
/** These must lie below the end of something that is mapped when they are set alone. */
const MAPPED: ReadonlySet<Place> = new Set(["startStack", "argStart", "argEnd", "envStart", "envEnd"]);
const ORDERED: readonly (readonly [Place, Place])[] = [["startData", "endData"], ["startBrk", "brk"], ["argStart", "argEnd"], ["envStart", "envEnd"]];
const MAP_BYTES = 104;
/** Entries of an auxiliary vector, the last of them AT_NULL. */
const AUXV_ENTRIES = 33;
const NO_FILE = -1;

function placesOf(mm: Mm): Places {
  return Object.fromEntries(PLACES.map((place) => [place, mm[place]])) as Places;
}

function isPlace({ k }: GuestThread, address: number): boolean {
  return address >= k.m.vmSysctl.mmapMinAddr && address < USER_VPN_END * PAGE_SIZE;
}

/** Whether a program can have that layout; RLIMIT_DATA counts data and heap. */
function isPossible(t: GuestThread, places: Places): boolean {
  if (PLACES.some((place) => !isPlace(t, places[place]))) return false;
  if (places.startCode >= places.endCode || ORDERED.some(([start, end]) => places[start] > places[end])) return false;
  const { startData, endData, startBrk, brk } = places;
  return BigInt(endData - startData + (brk - startBrk)) <= rlimit(t.k.m, Rlimit.DATA);
}

/** The words of an auxiliary vector in the program's memory, as /proc/PID/auxv shows them; or a negated errno. */
function* readAuxv({ k }: GuestThread, address: number, length: number): MaySleep<readonly number[] | number> {
  if (length < 0 || length > 16 * AUXV_ENTRIES) return -Errno.EINVAL;
  const view = yield* readStruct(k, address, length);
  if (view === null) return -Errno.EFAULT;
  const words: number[] = [];
  for (let at = 0; at + 16 <= Math.min(length, 16 * (AUXV_ENTRIES - 1)) && getU64(view, at) !== 0; at += 16) words.push(getU64(view, at), getU64(view, at + 8));
  return [...words, 0, 0];
}

/** The file that a program is of stays the one whose text is mapped. */
function setExeFile({ k, task }: GuestThread, fd: number): number {
  const file = task.process!.files.get(fd);
  if (file === null) return -Errno.EBADF;
  const { inode } = file;
  if (inode.kind !== "file") return -Errno.EACCES;
  const refused = inodePermission(k, inode, May.EXEC);
  return refused < 0 ? refused : -Errno.EBUSY;
}

function* setMap(t: GuestThread, address: number, size: number): MaySleep<number> {
  const { k, task } = t;
  const mm = task.mm!;
  if (size !== MAP_BYTES) return -Errno.EINVAL;
  const view = yield* readStruct(k, address, MAP_BYTES);
  if (view === null) return -Errno.EFAULT;
  const places = Object.fromEntries(PLACES.map((place, i) => [place, getU64(view, 8 * i)])) as Places;
  if (!isPossible(t, places)) return -Errno.EINVAL;
  const [auxv, auxvSize, fd] = [getU64(view, 88), view.getUint32(96, true), view.getInt32(100, true)];
  let words: readonly number[] | null = null;
  if (auxvSize !== 0) {
    if (auxv === 0) return -Errno.EINVAL;
    const read = yield* readAuxv(t, auxv, auxvSize);
    if (typeof read === "number") return read;
    words = read;
  }
  if (fd !== NO_FILE) {
    if (!capable(k, Cap.CHECKPOINT_RESTORE) && !capable(k, Cap.SYS_ADMIN)) return -Errno.EPERM;
    const refused = setExeFile(t, fd);
    if (refused !== 0) return refused;
  }
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  if (k.m.point(Op.MmCounter, mm.id)) yield SWITCH;
  Object.assign(mm, places);
  if (words !== null) mm.savedAuxv = words;
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  return 0;
}

function* setPlace(t: GuestThread, place: Place, address: number): MaySleep<number> {
  const { k, task } = t;
  const mm = task.mm!;
  if (!isPlace(t, address)) return -Errno.EINVAL;
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  if (k.m.point(Op.MmCounter, mm.id)) yield SWITCH;
  let result = 0;
  if (!isPossible(t, { ...placesOf(mm), [place]: address })) result = -Errno.EINVAL;
  else if (MAPPED.has(place) && mm.findVmaIndex(Math.floor(address / PAGE_SIZE)) < 0) result = -Errno.EFAULT;
  else mm[place] = address;
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  return result;
}

/**
 * prctl(PR_SET_MM): where a program says that its code, data, heap, stack, arguments and environment are. All at
 * once (PR_SET_MM_MAP) anybody may; one by one takes CAP_SYS_RESOURCE.
 */
export function* setMm(t: GuestThread, what: number, address: number, size: number, last: number): MaySleep<number> {
  const { k, task } = t;
  const known = int(what);
  if (last !== 0 || (size !== 0 && known !== SetMm.AUXV && known !== SetMm.MAP && known !== SetMm.MAP_SIZE)) return -Errno.EINVAL;
  if (known === SetMm.MAP_SIZE) return yield* k.uaccess.putUser32(k, address, MAP_BYTES);
  if (known === SetMm.MAP) return yield* setMap(t, address, size);
  if (!capable(k, Cap.SYS_RESOURCE)) return -Errno.EPERM;
  if (known === SetMm.EXE_FILE) return setExeFile(t, int(address));
  if (known === SetMm.AUXV) {
    const words = yield* readAuxv(t, address, size);
    if (typeof words === "number") return words;
    if (k.m.point(Op.MmCounter, task.mm!.id)) yield SWITCH;
    task.mm!.savedAuxv = words;
    return 0;
  }
  const place = ONE_BY_ONE[known - 1];
  return place === undefined ? -Errno.EINVAL : yield* setPlace(t, place, address);
}
