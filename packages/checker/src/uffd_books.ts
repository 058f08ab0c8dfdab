import { VM_UFFD, type Machine, type UserfaultfdCtx } from "@faultline/kernel";

/** All threads have ended: nobody waits for a userfaultfd, and VMAs have those that there are. */
export function uffdBooks(m: Machine, fail: (message: string) => void): void {
  for (const ctx of m.userfaultfds) contextBooks(ctx, fail);
  for (const mm of m.mms) {
    for (const { uffd, flags, startVpn } of mm.vmas) {
      const vma = `the VMA at page 0x${startVpn.toString(16)}`;
      if ((uffd === null) !== ((flags & VM_UFFD) === 0)) fail(`${vma} ${uffd === null ? "is registered with no userfaultfd" : `has userfaultfd ${uffd.id}, and is not registered`}`);
      if (uffd === null) continue;
      if (!m.userfaultfds.includes(uffd)) fail(`${vma} has userfaultfd ${uffd.id}, which is gone`);
      else if (uffd.mm !== mm) fail(`${vma} has userfaultfd ${uffd.id}, which is another address space's`);
    }
    if (mm.uffdEvents.length > 0) fail(`events of mm ${mm.id} were never told`);
  }
}

function contextBooks({ id, pending, faults, events, mmapChanging, mapChangingLock, references }: UserfaultfdCtx, fail: (message: string) => void): void {
  const waiting = pending.length + faults.length + events.length;
  if (waiting > 0) fail(`${waiting} tasks are in the queues of userfaultfd ${id}, and all have ended`);
  if (mmapChanging !== 0) fail(`an event of userfaultfd ${id} has begun and not ended`);
  if (mapChangingLock.isLocked) fail(`map_changing_lock of userfaultfd ${id} is still held`);
  if (references !== 1) fail(`userfaultfd ${id} has ${references} references, and one holder`);
}
