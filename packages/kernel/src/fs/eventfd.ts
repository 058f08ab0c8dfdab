import { SWITCH } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import { TaskState, WaitQueue } from "../kernel/sched.js";
import { Restart } from "../kernel/signal.js";
import type { Kernel } from "../kernel.js";
import { anonFile } from "./anon_inode.js";
import { O, Poll, type OpenFile } from "./vfs.js";

/** EFD_SEMAPHORE: a read takes one. */
export const EFD_SEMAPHORE = 1;
/** The counter stays below this: all bits set are no number. */
const ULLONG_MAX = 0xffff_ffff_ffff_ffffn;

/** eventfd2(2): a counter that is read, and added to by writes, 8 bytes each. */
export function makeEventfd(k: Kernel, initial: number, flags: number): OpenFile {
  const { m } = k;
  const id = m.nextEventfdId++;
  let count = BigInt(initial >>> 0);
  const wait = new WaitQueue(m);
  let changes = 0;
  const changed = (): void => {
    changes++;
    wait.wakeAll();
    m.pollWait.wakeAll();
  };
  return anonFile(
    k,
    "[eventfd]",
    {
      stream: true,
      seeks: true,
      iter: { nowait: true },
      *read(k, file, into) {
        if (into.length < 8) return -Errno.EINVAL;
        for (;;) {
          if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
          if (count > 0n) break;
          if ((file.flags & O.NONBLOCK) !== 0) return -Errno.EAGAIN;
          if (!(yield* wait.sleep(TaskState.Interruptible, "eventfd_read"))) return -Restart.ERESTARTSYS;
        }
        const taken = (flags & EFD_SEMAPHORE) !== 0 ? 1n : count;
        count -= taken;
        changed();
        new DataView(into.buffer, into.byteOffset).setBigUint64(0, taken, true);
        return 8;
      },
      *write(k, file, from) {
        if (from.length < 8) return -Errno.EINVAL;
        const added = new DataView(from.buffer, from.byteOffset).getBigUint64(0, true);
        if (added === ULLONG_MAX) return -Errno.EINVAL;
        for (;;) {
          if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
          if (ULLONG_MAX - count > added) break;
          if ((file.flags & O.NONBLOCK) !== 0) return -Errno.EAGAIN;
          if (!(yield* wait.sleep(TaskState.Interruptible, "eventfd_write"))) return -Restart.ERESTARTSYS;
        }
        count += added;
        changed();
        return 8;
      },
      showFdinfo: () => `eventfd-count: ${count.toString(16).padStart(16)}\neventfd-id: ${id}\neventfd-semaphore: ${flags & EFD_SEMAPHORE}\n`,
      changes: () => changes,
      poll: () => (count > 0n ? Poll.IN : 0) | (count < ULLONG_MAX - 1n ? Poll.OUT : 0) | (count === ULLONG_MAX ? Poll.ERR : 0),
    },
    O.RDWR | (flags & O.NONBLOCK),
  );
}
