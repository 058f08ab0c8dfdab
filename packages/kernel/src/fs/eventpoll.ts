import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import { TaskState } from "../kernel/sched.js";
import type { Kernel } from "../kernel.js";
import { anonFile } from "./anon_inode.js";
import { O, Poll, POLL_READABLE, pollFile, type FileOps, type OpenFile } from "./vfs.js";

export enum EpollOp {
  ADD = 1,
  DEL = 2,
  MOD = 3,
}

/** Besides those of `Poll`. */
enum Epoll {
  EXCLUSIVE = 1 << 28,
  WAKEUP = 1 << 29,
  ONESHOT = 1 << 30,
  ET = 1 << 31,
}
const PRIVATE_BITS = Epoll.WAKEUP | Epoll.ONESHOT | Epoll.ET | Epoll.EXCLUSIVE;

/** What nobody needs to ask for. */
const ALWAYS = Poll.ERR | Poll.HUP;

/** Epolls that one can have within each other. */
const MAX_NESTS = 5;

/** One descriptor that somebody is interested in. */
interface Interest {
  readonly file: OpenFile;
  readonly fd: number;
  events: number;
  data: bigint;
  /** What was ready when it was last told (EPOLLET), and how often its file had changed. */
  told: number;
  seen: number;
  /** What is ready now, as of the last look; and its place in the order in which that is told, 0 for nothing. */
  now: number;
  turn: number;
}

/** What epoll_wait(2) tells of a descriptor. */
export interface EpollEvent {
  readonly events: number;
  readonly data: bigint;
}

class EventPoll {
  readonly interests: Interest[] = [];
  private turns = 0;

  find(file: OpenFile, fd: number): Interest | undefined {
    return this.interests.find((one) => one.file === file && one.fd === fd);
  }

  /** Notes what is ready that was not, behind what is so already; who has been closed is gone, by itself. */
  refresh(): void {
    for (const one of [...this.interests]) {
      if (one.file.references === 0) {
        this.interests.splice(this.interests.indexOf(one), 1);
        continue;
      }
      one.now = pollFile(one.file) & one.events & ~PRIVATE_BITS;
      const changes = one.file.ops.changes?.(one.file) ?? 0;
      const tell = (one.events & Epoll.ET) === 0 || changes !== one.seen || (one.now & ~one.told) !== 0;
      if (one.now === 0 || (one.events & ~PRIVATE_BITS) === 0 || !tell) one.turn = 0;
      else if (one.turn === 0) one.turn = ++this.turns;
    }
  }

  /** Its descriptors, as fdinfo lists them. */
  get text(): string {
    const hex = (n: number | bigint): string => n.toString(16);
    return this.interests
      .map(({ file, fd, events, data }) => {
        const { ino, dev = 0 } = file.inode;
        const what = `tfd: ${String(fd).padStart(8)} events: ${hex(events >>> 0).padStart(8)} data: ${hex(BigInt.asUintN(64, data)).padStart(16)}`;
        return `${what}  pos:${file.pos} ino:${hex(ino)} sdev:${hex(dev)}\n`;
      })
      .join("");
  }

  get isReady(): boolean {
    this.refresh();
    return this.interests.some(({ turn }) => turn > 0);
  }

  /** Those that are ready now, `max` at most; they come last the next time. */
  take(max: number): EpollEvent[] {
    this.refresh();
    const ready = this.interests.filter(({ turn }) => turn > 0).sort((a, b) => a.turn - b.turn).slice(0, max);
    return ready.map((one) => {
      one.told = one.now;
      one.seen = one.file.ops.changes?.(one.file) ?? 0;
      one.turn = (one.events & (Epoll.ET | Epoll.ONESHOT)) === 0 ? ++this.turns : 0;
      if ((one.events & Epoll.ONESHOT) !== 0) one.events &= PRIVATE_BITS;
      return { events: one.now, data: one.data };
    });
  }
}

function eventPollOf(file: OpenFile): EventPoll | null {
  return file.data instanceof EventPoll ? file.data : null;
}

/** epoll_create1(2). */
export function makeEpoll(k: Kernel): OpenFile {
  const poll = new EventPoll();
  const ops: FileOps = {
    stream: true,
    seeks: true,
    poll: () => (poll.isReady ? POLL_READABLE : 0),
    showFdinfo: () => poll.text,
  };
  const file = anonFile(k, "[eventpoll]", ops, O.RDWR);
  file.data = poll;
  return file;
}

/** How deep epolls lie within each other; Infinity where one is within itself. */
function depth(file: OpenFile, within: OpenFile): number {
  if (file === within) return Infinity;
  const poll = eventPollOf(file);
  return poll === null ? 0 : 1 + Math.max(0, ...poll.interests.map((one) => depth(one.file, within)));
}

/** epoll_ctl(2), with the files of both descriptors. */
export function* epollCtl(k: Kernel, file: OpenFile, op: number, fd: number, target: OpenFile, events: number, data: bigint): MaySleep<number> {
  const poll = eventPollOf(file);
  // A file that is always ready cannot be waited for.
  if (target.ops.poll === undefined && !isStream(target)) return -Errno.EPERM;
  if (poll === null || file === target) return -Errno.EINVAL;
  if ((events & Epoll.EXCLUSIVE) !== 0 && op !== EpollOp.DEL) {
    const known = Poll.IN | Poll.OUT | Poll.ERR | Poll.HUP | Poll.RDNORM | Poll.WRNORM | Epoll.WAKEUP | Epoll.ET | Epoll.EXCLUSIVE;
    if (op === EpollOp.MOD || eventPollOf(target) !== null || (events & ~known) !== 0) return -Errno.EINVAL;
  }
  if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
  const there = poll.find(target, fd);
  switch (op) {
    case EpollOp.ADD:
      if (there !== undefined) return -Errno.EEXIST;
      if (depth(target, file) >= MAX_NESTS) return -Errno.ELOOP;
      poll.interests.push({ file: target, fd, events: events | ALWAYS, data, told: 0, seen: -1, now: 0, turn: 0 });
      break;
    case EpollOp.DEL:
      if (there === undefined) return -Errno.ENOENT;
      poll.interests.splice(poll.interests.indexOf(there), 1);
      break;
    case EpollOp.MOD:
      if (there === undefined) return -Errno.ENOENT;
      if ((there.events & Epoll.EXCLUSIVE) !== 0) return -Errno.EINVAL;
      there.events = events | ALWAYS;
      there.data = data;
      there.told = 0;
      there.seen = -1;
      break;
    default:
      return -Errno.EINVAL;
  }
  poll.refresh();
  k.m.pollWait.wakeAll();
  return 0;
}

function isStream(file: OpenFile): boolean {
  return file.ops.stream === true;
}

/** epoll_wait(2): at least one event, none at a deadline (machine time in nanoseconds), or -EINTR, -EINVAL. */
export function* epollWait(k: Kernel, file: OpenFile, max: number, deadline: number): MaySleep<EpollEvent[] | number> {
  const { m } = k;
  const task = m.current!;
  const poll = eventPollOf(file);
  if (poll === null) return -Errno.EINVAL;
  for (;;) {
    if (m.point(Op.Inode, file.inode.ino)) yield SWITCH;
    const events = poll.take(max);
    if (events.length > 0 || m.now() >= deadline) return events;
    const timer = deadline === Infinity ? null : m.sched.addTimer(deadline, task.isUser, () => m.sched.wake(task));
    const woken = yield* m.pollWait.sleep(TaskState.Interruptible, "epoll");
    timer?.cancel();
    if (!woken) return -Errno.EINTR;
  }
}
