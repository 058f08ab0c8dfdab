/**
 * @linux mm/secretmem.c
 * @omits The kernel's own map of memory: there is none from which a page could be taken, and nothing to flush for
 *   that.
 * @own evictInode, fillFolio, isSecretmem
 */
import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import { Rlimit, rlimitPages } from "../kernel/rlimit.js";
import type { Kernel } from "../kernel.js";
import { O, OpenFile, type FileOps, type Inode } from "../fs/vfs.js";
import type { AddressSpace, MappingHost } from "./address_space.js";
import { VmFault } from "./fault_flags.js";
import type { ReadsFolios } from "./filemap.js";
import { GFP_USER } from "./gfp.js";
import { VM, type Vma } from "./mm_types.js";
import { NO_PAGE, PG } from "./page.js";
import type { VmOps } from "./vm_ops.js";

/*
 * memfd_secret(2): memory that the kernel itself cannot read. Its pages are in nothing but page tables, so that
 * whoever wants them by get_user_pages() gets EFAULT; they stay where they are, in RAM, and count against
 * RLIMIT_MEMLOCK of the user who made the file.
 */

const SECRETMEM_MAGIC = 0x5345434d;

class SecretmemInode implements Inode, MappingHost {
  readonly kind = "file";
  readonly fsMagic = SECRETMEM_MAGIC;
  readonly rdev = 0;
  readonly secret = true;
  readonly ino: number;
  readonly mapping: AddressSpace;
  mode = 0o600;
  size = 0;
  atimeNs: number;
  mtimeNs: number;
  ctimeNs: number;

  constructor(
    { m }: Kernel,
    readonly uid: number,
  ) {
    this.ino = m.nextPipeIno++;
    this.mapping = m.mappings.create(this);
    this.mapping.unevictable = true;
    this.atimeNs = this.mtimeNs = this.ctimeNs = m.now();
  }

  /** Has a size once, and for good. */
  *truncate(k: Kernel, size: number): MaySleep<number> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    if (this.size !== 0) return -Errno.EINVAL;
    this.size = size;
    this.mtimeNs = this.ctimeNs = k.m.now();
    return 0;
  }
}

/** A new file of a process's user, without a name, open for reading and writing: which it cannot be but by mapping it. */
export function secretmemFileCreate(k: Kernel): OpenFile {
  return new OpenFile("/secretmem (deleted)", new SecretmemInode(k, k.m.current!.process!.cred.uid), SECRETMEM_FILE_OPS, O.RDWR | O.LARGEFILE);
}

const SECRETMEM_FILE_OPS: FileOps = {
  stream: true,

  *mmap(k, file, vma) {
    if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
    if ((vma.flags & (VM.SHARED | VM.MAYSHARE)) === 0) return -Errno.EINVAL;
    // Its file system is mounted noexec.
    if ((vma.flags & VM.EXEC) !== 0) return -Errno.EPERM;
    vma.flags = (vma.flags & ~VM.MAYEXEC) | VM.DONTDUMP;
    vma.ops = SECRETMEM_VM_OPS;
    return 0;
  },
  release: (k, file) => k.secretmem.evictInode(k, file.inode as SecretmemInode),
};

export function isSecretmem(vma: Vma): boolean {
  return vma.ops === SECRETMEM_VM_OPS;
}

const SECRETMEM_VM_OPS: VmOps = {
  mapsAround: false,
  *fault(k, vmf) {
    const inode = vmf.vma.file!.inode as SecretmemInode;
    const index = vmf.vma.linearIndex(vmf.vpn);
    if (k.m.point(Op.Inode, inode.ino)) yield SWITCH;
    if (index * 4096 >= inode.size) return VmFault.SIGBUS;
    const source: ReadsFolios = { gfp: GFP_USER, readFolio: (_k, folio) => k.secretmem.fillFolio(k, inode, folio) };
    const found = yield* k.filemap.readMappingPage(k, inode.mapping, source, index, "fault");
    if (typeof found === "number") return found === -Errno.ENOMEM ? VmFault.OOM : VmFault.SIGBUS;
    vmf.page = found.page;
    return 0;
  },
};

/** A page more, of zeros: 0, or -EPERM where the user may not have so many. */
export function* fillFolio(k: Kernel, inode: SecretmemInode, folio: number): MaySleep<number> {
  const { m } = k;
  const limit = rlimitPages(m, Rlimit.MEMLOCK);
  if (m.point(Op.Stats, 0)) yield SWITCH;
  const locked = m.lockedByUser.get(inode.uid) ?? 0;
  if (locked >= limit) return -Errno.EPERM;
  m.lockedByUser.set(inode.uid, locked + 1);
  m.ram.clear(folio);
  return 0;
}

/** The last descriptor and mapping are gone: so are the pages. */
export function* evictInode(k: Kernel, inode: SecretmemInode): MaySleep<void> {
  const { m } = k;
  let pages = 0;
  for (const index of inode.mapping.indexesIn(0, Infinity)) {
    const page = yield* k.filemap.filemapLockEntry(k, inode.mapping, index, "truncate");
    if (page === NO_PAGE) continue;
    pages++;
    m.memmap.clear(page, PG.dirty);
    yield* k.filemap.filemapRemoveFolio(k, page);
    yield* k.swap.folioPutUnowned(k, page);
    m.ram.clear(page);
    yield* k.folioLock.folioUnlock(k, page);
    yield* k.swap.folioPut(k, page, "truncate");
  }
  m.mappings.drop(inode.mapping);
  if (m.point(Op.Stats, 0)) yield SWITCH;
  m.lockedByUser.set(inode.uid, (m.lockedByUser.get(inode.uid) ?? 0) - pages);
}
