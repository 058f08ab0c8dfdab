import { Cap, capable, commitCreds, commitFsuid, Errno, Op, SWITCH, type Credentials, type MaySleep } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { readStruct } from "../user.js";
import * as F from "./format.js";
import { call, int, type Handler, type Syscall } from "./syscall.js";

/** An id that is not to be changed. */
const KEEP = -1;
const NGROUPS_MAX = 65536;

type Kind = "uid" | "gid";

/** The real, effective and saved id. */
function idsOf({ cred }: { readonly cred: Credentials }, kind: Kind): readonly [number, number, number] {
  return kind === "uid" ? [cred.uid, cred.euid, cred.suid] : [cred.gid, cred.egid, cred.sgid];
}

function mayAll(t: GuestThread, kind: Kind): boolean {
  return capable(t.k, kind === "uid" ? Cap.SETUID : Cap.SETGID);
}

/** Sets them; the file system's id follows the effective one. */
function* commit(t: GuestThread, kind: Kind, real: number, effective: number, saved: number): MaySleep<number> {
  const process = t.task.process!;
  if (t.k.m.point(Op.Process, process.pid)) yield SWITCH;
  const next =
    kind === "uid"
      ? { uid: real, euid: effective, suid: saved, fsuid: effective }
      : { gid: real, egid: effective, sgid: saved, fsgid: effective };
  commitCreds(process, { ...process.cred, ...next });
  return 0;
}

function setId(kind: Kind): Handler {
  return function* (t, [value]) {
    const id = int(value!);
    if (id === KEEP) return -Errno.EINVAL;
    const [real, , saved] = idsOf(t.task.process!, kind);
    if (mayAll(t, kind)) return yield* commit(t, kind, id, id, id);
    return id === real || id === saved ? yield* commit(t, kind, real, id, saved) : -Errno.EPERM;
  };
}

function setReId(kind: Kind): Handler {
  return function* (t, [r, e]) {
    const [real, effective, saved] = idsOf(t.task.process!, kind);
    const [newReal, newEffective] = [int(r!), int(e!)];
    if (!mayAll(t, kind)) {
      if (newReal !== KEEP && newReal !== real && newReal !== effective) return -Errno.EPERM;
      if (newEffective !== KEEP && ![real, effective, saved].includes(newEffective)) return -Errno.EPERM;
    }
    const nextReal = newReal === KEEP ? real : newReal;
    const nextEffective = newEffective === KEEP ? effective : newEffective;
    const moves = newReal !== KEEP || (newEffective !== KEEP && newEffective !== real);
    return yield* commit(t, kind, nextReal, nextEffective, moves ? nextEffective : saved);
  };
}

function setResId(kind: Kind): Handler {
  return function* (t, args) {
    const old = idsOf(t.task.process!, kind);
    const wanted = args.slice(0, 3).map(int);
    if (!mayAll(t, kind) && wanted.some((id) => id !== KEEP && !old.includes(id))) return -Errno.EPERM;
    const [real, effective, saved] = wanted.map((id, i) => (id === KEEP ? old[i]! : id));
    return yield* commit(t, kind, real!, effective!, saved!);
  };
}

function getResId(kind: Kind): Handler {
  return function* (t, args) {
    const ids = idsOf(t.task.process!, kind);
    for (let i = 0; i < 3; i++) {
      const error = yield* t.k.uaccess.putUser32(t.k, args[i]!, ids[i]!);
      if (error < 0) return error;
    }
    return 0;
  };
}

/** The old id, whether or not it has changed. */
function setFsId(kind: Kind): Handler {
  return function* (t, [value]) {
    const process = t.task.process!;
    const { cred } = process;
    const old = kind === "uid" ? cred.fsuid : cred.fsgid;
    const id = int(value!);
    if (id === KEEP || (!mayAll(t, kind) && ![...idsOf(process, kind), old].includes(id))) return old;
    if (kind === "uid") commitFsuid(process, id);
    else commitCreds(process, { ...cred, fsgid: id });
    return old;
  };
}

function get(of: (cred: Credentials) => number): Handler {
  return function* (t) {
    return of(t.task.process!.cred);
  };
}

const getgroups: Handler = function* (t, [size, list]) {
  const { groups } = t.task.process!.cred;
  if (int(size!) < 0 || (size !== 0 && int(size!) < groups.length)) return -Errno.EINVAL;
  for (let i = 0; size !== 0 && i < groups.length; i++) {
    if ((yield* t.k.uaccess.putUser32(t.k, list! + 4 * i, groups[i]!)) < 0) return -Errno.EFAULT;
  }
  return groups.length;
};

const setgroups: Handler = function* (t, [size, list]) {
  const process = t.task.process!;
  if (!mayAll(t, "gid")) return -Errno.EPERM;
  if (int(size!) < 0 || int(size!) > NGROUPS_MAX) return -Errno.EINVAL;
  const view = yield* readStruct(t.k, list!, int(size!) * 4);
  if (view === null) return -Errno.EFAULT;
  const groups = Array.from({ length: int(size!) }, (_, i) => view.getInt32(4 * i, true));
  commitCreds(process, { ...process.cred, groups });
  return 0;
};

export const CRED: readonly (readonly [number, Syscall])[] = [
  [143, call("setregid", [F.INT, F.INT], setReId("gid"))],
  [144, call("setgid", [F.INT], setId("gid"))],
  [145, call("setreuid", [F.INT, F.INT], setReId("uid"))],
  [146, call("setuid", [F.INT], setId("uid"))],
  [147, call("setresuid", [F.INT, F.INT, F.INT], setResId("uid"))],
  [148, call("getresuid", [F.OUT, F.OUT, F.OUT], getResId("uid"))],
  [149, call("setresgid", [F.INT, F.INT, F.INT], setResId("gid"))],
  [150, call("getresgid", [F.OUT, F.OUT, F.OUT], getResId("gid"))],
  [151, call("setfsuid", [F.INT], setFsId("uid"))],
  [152, call("setfsgid", [F.INT], setFsId("gid"))],
  [158, call("getgroups", [F.INT, F.OUT], getgroups)],
  [159, call("setgroups", [F.INT, F.POINTER], setgroups)],
  [174, call("getuid", [], get(({ uid }) => uid))],
  [175, call("geteuid", [], get(({ euid }) => euid))],
  [176, call("getgid", [], get(({ gid }) => gid))],
  [177, call("getegid", [], get(({ egid }) => egid))],
];
