import { CAP_FULL_SET, Errno, type Capabilities, type MaySleep, type Process } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { readStruct, structBytes } from "../user.js";
import * as F from "./format.js";
import { call, type Handler, type Syscall } from "./syscall.js";

/** By version of the header: how many words of 32 bits each set has. */
const WORDS: Readonly<Record<number, number>> = { 0x1998_0330: 1, 0x2007_1026: 2, 0x2008_0522: 2 };
const NEWEST = 0x2008_0522;

interface Header {
  readonly words: number;
  readonly pid: number;
}

/** The header; -EINVAL for a version that is not known, with the newest written over it, -EFAULT. */
function* readHeader(t: GuestThread, address: number): MaySleep<Header | number> {
  const view = yield* readStruct(t.k, address, 8);
  if (view === null) return -Errno.EFAULT;
  const words = WORDS[view.getUint32(0, true)];
  if (words !== undefined) return { words, pid: view.getInt32(4, true) };
  const error = yield* t.k.uaccess.putUser32(t.k, address, NEWEST);
  return error < 0 ? error : -Errno.EINVAL;
}

function processOf(t: GuestThread, pid: number): Process | null {
  return pid === 0 ? t.task.process! : (t.k.m.tasks.get(pid)?.process ?? null);
}

const capget: Handler = function* (t, [header, data]) {
  const head = yield* readHeader(t, header!);
  // To ask for the newest version is no error without room for an answer.
  if (typeof head === "number") return head === -Errno.EINVAL && data === 0 ? 0 : head;
  if (head.pid < 0) return -Errno.EINVAL;
  const process = processOf(t, head.pid);
  if (process === null) return -Errno.ESRCH;
  if (data === 0) return 0;
  const { effective, permitted, inheritable } = process.capabilities;
  const view = new DataView(new ArrayBuffer(head.words * 12));
  for (let i = 0; i < head.words; i++) {
    [effective, permitted, inheritable].forEach((set, j) => view.setUint32(i * 12 + j * 4, Number((set >> BigInt(32 * i)) & 0xffff_ffffn), true));
  }
  return yield* t.k.uaccess.copyToUser(t.k, data!, structBytes(view));
};

const capset: Handler = function* (t, [header, data]) {
  const head = yield* readHeader(t, header!);
  if (typeof head === "number") return head;
  const process = t.task.process!;
  if (head.pid !== 0 && head.pid !== t.task.id) return -Errno.EPERM;
  const view = yield* readStruct(t.k, data!, head.words * 12);
  if (view === null) return -Errno.EFAULT;
  const sets = [0n, 0n, 0n];
  for (let i = 0; i < head.words; i++) {
    for (let j = 0; j < 3; j++) sets[j]! |= BigInt(view.getUint32(i * 12 + j * 4, true)) << BigInt(32 * i);
  }
  const [effective, permitted, inheritable] = sets.map((set) => set & CAP_FULL_SET) as [bigint, bigint, bigint];
  const old = process.capabilities;
  // Nobody gets what he was not permitted.
  if ((permitted & ~old.permitted) !== 0n || (effective & ~permitted) !== 0n) return -Errno.EPERM;
  const next: Capabilities = { effective, permitted, inheritable };
  process.capabilities = next;
  return 0;
};

export const CAPABILITY: readonly (readonly [number, Syscall])[] = [
  [90, call("capget", [F.POINTER, F.POINTER], capget)],
  [91, call("capset", [F.POINTER, F.POINTER], capset, "for all threads of the process")],
];
