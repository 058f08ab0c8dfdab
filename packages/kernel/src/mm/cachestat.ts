import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { HugetlbInode } from "../fs/hugetlbfs.js";
import { inodePermission, May, ownsInode } from "../fs/permission.js";
import type { OpenFile } from "../fs/vfs.js";

/** Pages of 4096 bytes. */
export interface CacheStat {
  readonly cached: number;
  /** Of files in memory, those that are in swap. */
  readonly evicted: number;
}

/** cachestat(2) of the pages from `first` to `last`; -EOPNOTSUPP for huge pages, -EPERM for what is not one's own, nor to be written. */
export function* cachestat(k: Kernel, file: OpenFile, first: number, last: number): MaySleep<CacheStat | number> {
  const { inode } = file;
  if (inode instanceof HugetlbInode) return -Errno.EOPNOTSUPP;
  if (!file.writable && !ownsInode(k, inode) && inodePermission(k, inode, May.WRITE) < 0) return -Errno.EPERM;
  let cached = 0;
  let evicted = 0;
  const { mapping } = inode;
  if (mapping === undefined) return { cached, evicted };
  for (const index of mapping.indexesIn(first, Math.min(last + 1, Math.ceil(inode.size / 4096)))) {
    if (k.m.point(Op.PageCacheRead, mapping.object(index))) yield SWITCH;
    const entry = mapping.entries.get(index);
    if (entry === undefined) continue;
    if (entry >= 0) cached++;
    else evicted++;
  }
  return { cached, evicted };
}
