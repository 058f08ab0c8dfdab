import { Errno } from "@faultline/kernel";
import { AT_FDCWD, bits, FD, noMemory, PAGE, type Refusal, type Surfaces } from "./surface.js";

const { ENOENT, EACCES, EINVAL, ELOOP, ENAMETOOLONG, ENOTDIR, EBADF } = Errno;

/** Of the path in argument `index`, with null arguments behind it. What runs would print: nothing here does. */
const program = (index: number): Refusal[] => [
  [ENOENT, "no such file", { [index]: "new" }],
  [ENOENT, "an empty path", { [index]: "" }],
  [ENOTDIR, "a path through a file", { [index]: "file/x" }],
  [EACCES, "a directory", { [index]: "sub" }],
  [EACCES, "a device", { [index]: "/dev/null" }],
  [EACCES, "a file that nobody may execute", { [index]: "file" }],
  [ENAMETOOLONG, "a path of 4096 bytes", { [index]: "/".repeat(PAGE) }],
  noMemory(index),
];

export const EXEC: Surfaces = {
  execve: {
    example: ["file", 0, 0],
    gives: EACCES,
    refuses: program(0),
  },
  execveat: {
    example: [AT_FDCWD, "file", 0, 0, 0],
    gives: EACCES,
    takes: { 4: bits([0, [0x1000, { 0: FD.directory, 1: "" }], 0x100, 0x10000], EINVAL) },
    refuses: [
      ...program(1),
      [EBADF, "no such directory descriptor", { 0: FD.closed }],
      [ENOTDIR, "descriptor of a file", { 0: FD.file }],
      [ELOOP, "AT_SYMLINK_NOFOLLOW and a symbolic link", { 1: "link", 4: 0x100 }],
    ],
  },
};
