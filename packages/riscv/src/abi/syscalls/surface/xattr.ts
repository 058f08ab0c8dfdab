import { Errno } from "@faultline/kernel";
import { AT, bits, FD, noFd, noMemory, type Operand, type Refusal, type Surface, type Surfaces } from "./surface.js";

const { E2BIG, EINVAL, ENODATA, ENOENT, EOPNOTSUPP, ERANGE } = Errno;
const NAME = "user.name";
const ofFile = (first: Operand): readonly Refusal[] => (typeof first === "number" ? [noFd(0)] : [[ENOENT, "no such file", { 0: "missing" }], noMemory(0)]);
const ofName: readonly Refusal[] = [noMemory(1), [ERANGE, "no name", { 1: "" }], [ERANGE, "a name of 256 bytes", { 1: "n".repeat(256) }]];

const ofNamespace: readonly Refusal[] = [[EOPNOTSUPP, "a namespace that is unknown", { 1: "other.name" }], [EINVAL, "the name of a namespace", { 1: "user." }]];

const set = (first: Operand): Surface => ({
  example: [first, NAME, AT.page, 1, 0],
  takes: { 4: bits([0, 1], EINVAL, [2]) },
  refuses: [...ofFile(first), ...ofName, ...ofNamespace, noMemory(2), [E2BIG, "more than 64 KiB", { 3: 65_537 }], [ENODATA, "XATTR_REPLACE and no such attribute", { 4: 2 }]],
});
const get = (first: Operand): Surface => ({ example: [first, NAME, AT.page, 1], gives: ENODATA, refuses: [...ofFile(first), ...ofName, ...ofNamespace] });
const list = (first: Operand): Surface => ({ example: [first, AT.page, 1], refuses: ofFile(first) });
const remove = (first: Operand): Surface => ({ example: [first, NAME], gives: ENODATA, refuses: [...ofFile(first), ...ofName, ...ofNamespace] });

export const XATTR: Surfaces = {
  setxattr: set("file"),
  lsetxattr: set("file"),
  fsetxattr: set(FD.file),
  getxattr: get("file"),
  lgetxattr: get("file"),
  fgetxattr: get(FD.file),
  listxattr: list("file"),
  llistxattr: list("file"),
  flistxattr: list(FD.file),
  removexattr: remove("file"),
  lremovexattr: remove("file"),
  fremovexattr: remove(FD.file),
};
