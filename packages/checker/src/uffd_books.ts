import { TaskState, VM_UFFD, type Machine, type Task, type UserfaultfdCtx } from "@faultline/kernel";

/** At rest: who is in a userfaultfd's queues sleeps there, and VMAs have those that there are. */
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

function contextBooks(ctx: UserfaultfdCtx, fail: (message: string) => void): void {
  const { id, mmapChanging, mapChangingLock, references, released } = ctx;
  const queued = [...ctx.pending, ...ctx.faults, ...ctx.events].map(({ task }) => task);
  const asleep = queued.filter((task) => sleepsAt(task, id)).length;
  if (asleep < queued.length) fail(`${queued.length - asleep} tasks are in the queues of userfaultfd ${id}, and have ended or gone on`);
  if (mmapChanging !== 0) fail(`an event of userfaultfd ${id} has begun and not ended`);
  if (mapChangingLock.isLocked) fail(`map_changing_lock of userfaultfd ${id} is still held`);
  // Its file, until that is closed, and whoever waits.
  const holders = (released ? 0 : 1) + asleep;
  if (references !== holders) fail(`userfaultfd ${id} has ${references} references, and ${holders} holders`);
}

/** Whether a task waits for a userfaultfd until it is answered: for as long as it does, it has its place and its reference. */
function sleepsAt({ state, waitingFor, waitingOn }: Task, id: number): boolean {
  return waitingFor.startsWith("userfaultfd") && waitingOn === id && state !== TaskState.Running && state !== TaskState.Dead;
}
