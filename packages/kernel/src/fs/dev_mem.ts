/**
 * @linux drivers/char/mem.c, mm/memory.c
 * @omits STRICT_DEVMEM is off: RAM can be read, written and mapped. There are no registers of devices.
 */
import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Cap, capable } from "../kernel/capability.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { PTE } from "../arch/pgtable.js";
import { VmFault } from "../mm/fault_flags.js";
import { PAGE_SIZE } from "../mm/frame_memory.js";
import { VM, type Vma } from "../mm/mm_types.js";
import { NO_PAGE } from "../mm/page.js";
import type { VmOps } from "../mm/vm_ops.js";
import { vmPageProt } from "../mm/vm_prot.js";
import { makedev, SEEK_CUR, SEEK_SET, type CharDevice, type FileOps, type OpenFile } from "./vfs.js";

/** /dev/mem: RAM by its physical addresses, as of a kernel without CONFIG_STRICT_DEVMEM. There is nothing else at any. */

/** The frame at an address in pages, or NO_PAGE. */
function frameAt(k: Kernel, pfn: number): number {
  const page = k.m.memmap.pfnToPage(pfn);
  return page !== NO_PAGE && k.m.zones.isOnline(page) ? page : NO_PAGE;
}

/** Copies page by page between RAM at `pos` and bytes of the kernel: how many, or -EFAULT where there is no RAM at all. */
function* transfer(k: Kernel, file: OpenFile, bytes: Uint8Array, pos: number, write: boolean): MaySleep<number> {
  const { m } = k;
  if (m.point(Op.Inode, file.inode.ino)) yield SWITCH;
  let done = 0;
  while (done < bytes.length) {
    const page = frameAt(k, Math.floor((pos + done) / PAGE_SIZE));
    if (page === NO_PAGE) return done > 0 ? done : -Errno.EFAULT;
    const offset = (pos + done) % PAGE_SIZE;
    const n = Math.min(bytes.length - done, PAGE_SIZE - offset);
    if (m.point(write ? Op.FrameWrite : Op.FrameRead, page)) yield SWITCH;
    const frame = m.ram.frame(page).subarray(offset, offset + n);
    if (write) frame.set(bytes.subarray(done, done + n));
    else bytes.set(frame, done);
    done += n;
  }
  return done;
}

const MEM_FILE_OPS: FileOps = {
  read: (k, file, into, pos) => transfer(k, file, into, pos, false),
  write: (k, file, from, pos) => transfer(k, file, from, pos, true),

   
  *llseek(_k, file, offset, whence) {
    if (whence !== SEEK_SET && whence !== SEEK_CUR) return -Errno.EINVAL;
    const pos = whence === SEEK_SET ? offset : file.pos + offset;
    return pos < 0 ? -Errno.EOVERFLOW : pos;
  },

  *mmap(k, file, vma) {
    if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
    vma.flags |= VM.PFNMAP | VM.DONTEXPAND | VM.DONTDUMP;
    vma.ops = MEM_VM_OPS;
    return yield* k.devMem.remapPfnRange(k, vma);
  },
};

/** What is not there from the beginning never is. */
const MEM_VM_OPS: VmOps = {
  mapsAround: false,
   
  *fault() {
    return VmFault.SIGBUS;
  },
};

/** Maps all of a VMA that nobody can find yet: 0, or -EAGAIN for want of a table. */
export function* remapPfnRange(k: Kernel, vma: Vma): MaySleep<number> {
  const { m } = k;
  for (let vpn = vma.startVpn; vpn < vma.endVpn; vpn++) {
    const pfn = vma.linearIndex(vpn);
    if (frameAt(k, pfn) === NO_PAGE) continue;
    const pmd = yield* k.memory.pmdAlloc(k, vma.mm, vpn);
    const ptep = pmd < 0 ? -1 : yield* k.memory.pteAlloc(k, vma.mm, vpn, pmd);
    if (ptep < 0) {
      yield* k.zap.zapPageRange(k, vma, vma.startVpn, vpn);
      return -Errno.EAGAIN;
    }
    const ptl = m.pt.lockOf(ptep);
    if (!ptl.tryLock()) yield* ptl.lock();
    yield* k.memory.setPteAt(k, vma.mm, vpn, ptep, vmPageProt(vma.flags) | PTE.SPECIAL, pfn);
    if (!ptl.tryUnlock()) yield* ptl.unlock();
  }
  return 0;
}

export const MEM_DEVICE: CharDevice = {
  name: "mem",
  rdev: makedev(1, 1),
  mode: 0o640,
  ops: MEM_FILE_OPS,
   
  *open(k) {
    return capable(k, Cap.SYS_RAWIO) ? 0 : -Errno.EPERM;
  },
};
