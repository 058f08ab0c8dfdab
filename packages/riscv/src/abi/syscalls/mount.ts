import { mount, umount } from "@faultline/kernel";
import { path } from "./fs.js";
import * as F from "./format.js";
import { call, int, type Handler, type Syscall } from "./syscall.js";

const mountHandler: Handler = function* (t, [source, target, type, flags, data]) {
  const words: string[] = [];
  for (const address of [source!, target!, type!, data!]) {
    const text = address === 0 ? "" : yield* path(t, address);
    if (typeof text === "number") return text;
    words.push(text);
  }
  return yield* mount(t.k, words[0]!, words[1]!, words[2]!, int(flags!), words[3]!);
};

const umount2: Handler = function* (t, [target, flags]) {
  const text = yield* path(t, target!);
  return typeof text === "number" ? text : yield* umount(t.k, text, int(flags!));
};

export const MOUNT: readonly (readonly [number, Syscall])[] = [
  [39, call("umount2", [F.PATH, F.HEX], umount2)],
  [40, call("mount", [F.PATH, F.PATH, F.PATH, F.HEX, F.PATH], mountHandler, "hugetlbfs and tmpfs, no bind mounts; nr_inodes of tmpfs is no limit")],
];
