/**
 * @linux mm/gup_test.c
 * @omits Benchmarks report the machine's simulated time, which no cost of GUP's goes into.
 * @own gupTestFlags
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Mutex } from "../kernel/locks.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import type { Machine } from "../machine.js";
import { PAGE_SIZE } from "./frame_memory.js";
import { FollFlag } from "./gup_flags.js";

/* /sys/kernel/debug/gup_test: GUP for programs, to be measured, tested, and held. The ABI of mm/gup_test.h. */

/** _IOWR('g', n, struct gup_test) and the rest. */
export enum GupCmd {
  GUP_FAST_BENCHMARK = 0xc0506701,
  PIN_FAST_BENCHMARK = 0xc0506702,
  PIN_LONGTERM_BENCHMARK = 0xc0506703,
  GUP_BASIC_TEST = 0xc0506704,
  PIN_BASIC_TEST = 0xc0506705,
  DUMP_USER_PAGES_TEST = 0xc0506706,
  PIN_LONGTERM_TEST_START = 0x40186707,
  PIN_LONGTERM_TEST_STOP = 0x6708,
  PIN_LONGTERM_TEST_READ = 0x40086709,
}

/** struct gup_test: two results, address, size; pages a call, FOLL_ flags, test flags; pages to dump. */
const GUP_TEST_BYTES = 80;
const WHICH_PAGES = 44;
const GUP_TEST_MAX_PAGES_TO_DUMP = 8;
const DUMP_PAGES_USE_PIN = 1;
/** struct pin_longterm_test: address, size, flags. */
const PIN_LONGTERM_TEST_BYTES = 24;
const USE_WRITE = 1;
const USE_FAST = 2;
/** What allocations in one piece of virtual memory are refused beyond. */
const KVMALLOC_MAX = 2 ** 31 - 1;

/** What PIN_LONGTERM_TEST_START has pinned, for all who open the file. */
export class GupTest {
  readonly lock: Mutex;
  pages: number[] | null = null;

  constructor(m: Machine) {
    this.lock = new Mutex(m.locks, "pin_longterm_test_mutex");
  }
}

/** -EINVAL for an unknown command. */
export function* gupTestIoctl(k: Kernel, cmd: number, arg: number): MaySleep<number> {
  switch (cmd) {
    case GupCmd.GUP_FAST_BENCHMARK:
    case GupCmd.PIN_FAST_BENCHMARK:
    case GupCmd.PIN_LONGTERM_BENCHMARK:
    case GupCmd.GUP_BASIC_TEST:
    case GupCmd.PIN_BASIC_TEST:
    case GupCmd.DUMP_USER_PAGES_TEST:
      return yield* gupTest(k, cmd, arg);
    case GupCmd.PIN_LONGTERM_TEST_START:
    case GupCmd.PIN_LONGTERM_TEST_STOP:
    case GupCmd.PIN_LONGTERM_TEST_READ:
      return yield* pinLongtermTest(k, cmd, arg);
    default:
      return -Errno.EINVAL;
  }
}

/** The flags of GUP as a program has them. */
export function gupTestFlags(_k: Kernel, flags: number): number {
  return flags;
}

/** Whether the kernel would have room for the addresses of so many pages. */
function hasRoomFor({ m }: Kernel, pages: bigint): boolean {
  const bytes = pages * 8n;
  return bytes <= BigInt(KVMALLOC_MAX) && bytes / 4096n <= BigInt(m.zones.totalPages());
}

/** Gets the pages of a range, a few a call, and lets them go. How long both took, and how far it came, goes into the structure. */
function* gupTest(k: Kernel, cmd: GupCmd, arg: number): MaySleep<number> {
  const { m } = k;
  const raw = new Uint8Array(GUP_TEST_BYTES);
  if ((yield* k.uaccess.copyFromUser(k, arg, raw)) !== 0) return -Errno.EFAULT;
  const view = new DataView(raw.buffer);
  const addr = view.getBigUint64(16, true);
  const size = view.getBigUint64(24, true);
  if (!hasRoomFor(k, size / 4096n)) return -Errno.ENOMEM;
  const perCall = view.getUint32(32, true);
  const gup = k.gupTest.gupTestFlags(k, view.getInt32(36, true));
  const usesPin = cmd === GupCmd.PIN_FAST_BENCHMARK || cmd === GupCmd.PIN_BASIC_TEST || cmd === GupCmd.PIN_LONGTERM_BENCHMARK
    || (cmd === GupCmd.DUMP_USER_PAGES_TEST && (view.getUint32(40, true) & DUMP_PAGES_USE_PIN) !== 0);
  const { mm } = m.current!;
  const locks = cmd !== GupCmd.GUP_FAST_BENCHMARK && cmd !== GupCmd.PIN_FAST_BENCHMARK;
  if (locks && !mm!.mmapLock.tryRead()) yield* mm!.mmapLock.read();
  const pages: number[] = [];
  const began = m.now();
  const covered = yield* getRange(k, cmd, addr, size, perCall, gup, usesPin, pages);
  view.setBigUint64(0, BigInt(Math.floor((m.now() - began) / 1000)), true);
  view.setBigUint64(24, covered, true);
  if (usesPin) yield* verifyDmaPinned(k, cmd, pages);
  if (cmd === GupCmd.DUMP_USER_PAGES_TEST) yield* dumpPages(k, view, addr, pages);
  const ended = m.now();
  if (usesPin) yield* k.gupPin.unpinUserPages(k, pages, "gup_test");
  else for (const page of pages) yield* k.swap.folioPut(k, m.memmap.folioOf(page), "gup_test");
  view.setBigUint64(8, BigInt(Math.floor((m.now() - ended) / 1000)), true);
  if (locks && !mm!.mmapLock.tryUnlock()) yield* mm!.mmapLock.unlock();
  return (yield* k.uaccess.copyToUser(k, arg, raw)) === 0 ? 0 : -Errno.EFAULT;
}

/** How many bytes of the range there were calls for, up to the first that gave nothing. */
function* getRange(k: Kernel, cmd: GupCmd, addr: bigint, size: bigint, perCall: number, gup: number, usesPin: boolean, pages: number[]): MaySleep<bigint> {
  const end = BigInt.asUintN(64, addr + size);
  let at = addr;
  let nr = perCall;
  while (at < end && nr === perCall) {
    let next = at + BigInt(nr) * 4096n;
    if (next > end) {
      next = end;
      nr = Number((next - at) / 4096n);
    }
    nr = yield* getOnce(k, cmd, Number(at / 4096n), nr, gup, usesPin, pages);
    if (nr <= 0) break;
    at = next;
  }
  return at - addr;
}

function* getOnce(k: Kernel, cmd: GupCmd, vpn: number, nr: number, gup: number, usesPin: boolean, pages: number[]): MaySleep<number> {
  if (cmd === GupCmd.GUP_FAST_BENCHMARK) return yield* k.gupFast.getUserPagesFast(k, vpn, nr, gup, "gup_test", pages);
  if (cmd === GupCmd.PIN_FAST_BENCHMARK) return yield* k.gupFast.pinUserPagesFast(k, vpn, nr, gup, "gup_test", pages);
  if (!usesPin) return yield* k.gup.getUserPages(k, vpn, nr, gup, "gup_test", pages);
  return yield* k.gup.pinUserPages(k, vpn, nr, cmd === GupCmd.PIN_LONGTERM_BENCHMARK ? gup | FollFlag.LONGTERM : gup, "gup_test", pages);
}

/** The log says so if something is not pinned, or pinned where it cannot stay. */
function* verifyDmaPinned(k: Kernel, cmd: GupCmd, pages: readonly number[]): Atomic<void> {
  const { m } = k;
  for (const [i, page] of pages.entries()) {
    const folio = m.memmap.folioOf(page);
    if (m.point(Op.RefCompare, folio)) yield SWITCH;
    const pinned = m.memmap.isPinned(folio);
    if (pinned && (cmd !== GupCmd.PIN_LONGTERM_BENCHMARK || k.gupLongterm.folioIsLongtermPinnable(k, folio))) continue;
    m.dmesg.print(pinned ? `pages[${i}] is NOT pinnable but pinned` : `pages[${i}] is NOT dma-pinned`);
    yield* k.debug.dumpPage(k, page, "gup_test failure");
    return;
  }
}

/** Pages are numbered from 1 in the structure; those that were not had are struck out of it. */
function* dumpPages(k: Kernel, view: DataView, addr: bigint, pages: readonly number[]): Atomic<void> {
  const { dmesg } = k.m;
  const wanted: number[] = [];
  for (let i = 0; i < GUP_TEST_MAX_PAGES_TO_DUMP; i++) {
    const number = view.getUint32(WHICH_PAGES + 4 * i, true);
    if (number > pages.length) {
      dmesg.print(`ZEROING due to out of range: .which_pages[${i}]: ${number}`);
      view.setUint32(WHICH_PAGES + 4 * i, 0, true);
    } else if (number > 0) wanted.push(number - 1);
  }
  for (const i of wanted) {
    dmesg.print(`---- page #${i}, starting from user virt addr: 0x${addr.toString(16)}`);
    yield* k.debug.dumpPage(k, pages[i]!, "gup_test: dump_pages() test");
  }
}

/* Pins that stay when the call is over. */

function* pinLongtermTest(k: Kernel, cmd: GupCmd, arg: number): MaySleep<number> {
  const { lock } = k.m.gupTest;
  if (!lock.tryLock()) yield* lock.lock();
  let result = 0;
  if (cmd === GupCmd.PIN_LONGTERM_TEST_START) result = yield* pinLongtermTestStart(k, arg);
  else if (cmd === GupCmd.PIN_LONGTERM_TEST_STOP) yield* k.gupTest.pinLongtermTestStop(k);
  else result = yield* pinLongtermTestRead(k, arg);
  if (!lock.tryUnlock()) yield* lock.unlock();
  return result;
}

/** Pins a range: 0; -EINVAL where something is pinned yet, for what is not aligned, empty, or an unknown flag; -EFAULT; -ENOMEM. */
function* pinLongtermTestStart(k: Kernel, arg: number): MaySleep<number> {
  const { m } = k;
  if (m.gupTest.pages !== null) return -Errno.EINVAL;
  const raw = new Uint8Array(PIN_LONGTERM_TEST_BYTES);
  if ((yield* k.uaccess.copyFromUser(k, arg, raw)) !== 0) return -Errno.EFAULT;
  const view = new DataView(raw.buffer);
  const addr = view.getBigUint64(0, true);
  const size = view.getBigUint64(8, true);
  const flags = view.getUint32(16, true);
  if ((flags & ~(USE_WRITE | USE_FAST)) !== 0 || ((addr | size) & 0xfffn) !== 0n || size === 0n || size >= 2n ** 63n) return -Errno.EINVAL;
  if (!hasRoomFor(k, size / 4096n)) return -Errno.ENOMEM;
  const gup = (flags & USE_WRITE) !== 0 ? FollFlag.LONGTERM | FollFlag.WRITE : FollFlag.LONGTERM;
  const { mm } = m.current!;
  const fast = (flags & USE_FAST) !== 0;
  if (!fast && !mm!.mmapLock.tryRead()) yield* mm!.mmapLock.read();
  const pages: number[] = [];
  m.gupTest.pages = pages;
  const start = Number(addr / 4096n);
  const end = start + Number(size / 4096n);
  let error = 0;
  while (start + pages.length < end && error === 0) {
    const from = start + pages.length;
    const pin = fast ? k.gupFast.pinUserPagesFast : k.gup.pinUserPages;
    const n = yield* pin(k, from, end - from, gup, "gup_test", pages);
    if (n < 0) error = n;
  }
  for (const page of pages) m.refs?.handOver(m.memmap.folioOf(page), "gup_test");
  if (error < 0) yield* k.gupTest.pinLongtermTestStop(k);
  if (!fast && !mm!.mmapLock.tryUnlock()) yield* mm!.mmapLock.unlock();
  return error;
}

export function* pinLongtermTestStop(k: Kernel): MaySleep<void> {
  const { gupTest } = k.m;
  const { pages } = gupTest;
  gupTest.pages = null;
  if (pages !== null) yield* k.gupPin.unpinUserPages(k, pages, "gup_test");
}

/** Copies what is pinned to where a word at `arg` says: 0, -EINVAL where nothing is pinned, -EFAULT. */
function* pinLongtermTestRead(k: Kernel, arg: number): MaySleep<number> {
  const { m } = k;
  const { pages } = m.gupTest;
  if (pages === null) return -Errno.EINVAL;
  const raw = new Uint8Array(8);
  if ((yield* k.uaccess.copyFromUser(k, arg, raw)) !== 0) return -Errno.EFAULT;
  const to = Number(new DataView(raw.buffer).getBigUint64(0, true));
  for (const [i, page] of pages.entries()) {
    const bytes = yield* k.accessRemote.readFrame(k, page, 0, PAGE_SIZE);
    if ((yield* k.uaccess.copyToUser(k, to + i * PAGE_SIZE, bytes)) !== 0) return -Errno.EFAULT;
  }
  return 0;
}
