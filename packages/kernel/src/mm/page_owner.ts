import type { Machine } from "../machine.js";
import { gfpText } from "./gfp.js";
import { MigrateType } from "./pageblock.js";

/** Stacks, each kept once: a tree whose branches are function numbers, outermost first. */
class StackDepot {
  private readonly children: Map<number, number>[] = [new Map()];
  private readonly parent = [0];
  private readonly fn = [0];

  /** The number of a stack; 0 for the empty one. */
  save(stack: readonly number[]): number {
    let node = 0;
    for (const fn of stack) {
      let next = this.children[node]!.get(fn);
      if (next === undefined) {
        next = this.children.push(new Map()) - 1;
        this.children[node]!.set(fn, next);
        this.parent.push(node);
        this.fn.push(fn);
      }
      node = next;
    }
    return node;
  }

  /** The function numbers of a stack, innermost first. */
  fetch(node: number): number[] {
    const stack: number[] = [];
    for (; node !== 0; node = this.parent[node]!) stack.push(this.fn[node]!);
    return stack;
  }
}

/** Who did something with each page, and when; by page. */
class Owners {
  readonly pid: Int32Array;
  readonly tgid: Int32Array;
  readonly ts: Float64Array;
  readonly stack: Int32Array;

  constructor(pages: number) {
    this.pid = new Int32Array(pages);
    this.tgid = new Int32Array(pages);
    this.ts = new Float64Array(pages);
    this.stack = new Int32Array(pages);
  }

  copy(from: number, to: number): void {
    for (const column of [this.pid, this.tgid, this.ts, this.stack]) column[to] = column[from]!;
  }
}

/** What is known of a page. */
enum Known {
  /** It has been allocated, and freed. */
  Allocated = 1,
  Freed = 2,
  /** It has not been freed since. */
  Live = 4,
}

/**
 * CONFIG_PAGE_OWNER: which chain of functions allocated each page, and which freed it last. Costs
 * memory and time, so it is there only when a machine boots with page_owner=on.
 */
export class PageOwner {
  private readonly allocations: Owners;
  private readonly frees: Owners;
  private readonly known: Uint8Array;
  private readonly order: Uint8Array;
  private readonly type: Uint8Array;
  private readonly gfp: Int32Array;
  private readonly comms = new Map<number, string>();
  private readonly migrateReasons = new Map<number, string>();
  private readonly stacks = new StackDepot();

  constructor(private readonly m: Machine) {
    const pages = m.config.frames;
    this.allocations = new Owners(pages);
    this.frees = new Owners(pages);
    this.known = new Uint8Array(pages);
    this.order = new Uint8Array(pages);
    this.type = new Uint8Array(pages);
    this.gfp = new Int32Array(pages);
  }

  allocated(page: number, order: number, gfp: number, type: MigrateType): void {
    this.note(this.allocations, page);
    this.known[page]! |= Known.Allocated | Known.Live;
    this.order[page] = order;
    this.type[page] = type;
    this.gfp[page] = gfp;
    if (this.migrateReasons.size > 0) this.migrateReasons.delete(page);
  }

  freed(page: number): void {
    this.note(this.frees, page);
    this.known[page] = (this.known[page]! & ~Known.Live) | Known.Freed;
  }

  /** The contents of a page have moved: their owner goes along, and it shows why. */
  moved(src: number, dst: number, reason: string): void {
    this.allocations.copy(src, dst);
    for (const column of [this.order, this.type, this.gfp]) column[dst] = column[src]!;
    this.migrateReasons.set(dst, reason);
  }

  /** Says in the kernel log what is known of a page. */
  dump(page: number): void {
    const { dmesg } = this.m;
    const { allocations, frees } = this;
    const known = this.known[page]!;
    if (known === 0) {
      dmesg.print("page_owner info is not present (never set?)");
      return;
    }
    dmesg.print(`page_owner tracks the page as ${(known & Known.Live) !== 0 ? "allocated" : "freed"}`);
    if ((known & Known.Allocated) !== 0) {
      const gfp = this.gfp[page]!;
      const pid = allocations.pid[page]!;
      dmesg.print(
        `page last allocated via order ${this.order[page]}, migratetype ${MigrateType[this.type[page]!]}, ` +
          `gfp_mask 0x${gfp.toString(16)}(${gfpText(gfp)}), pid ${pid}, tgid ${allocations.tgid[page]} (${this.comms.get(pid)}), ` +
          `ts ${allocations.ts[page]}, free_ts ${frees.ts[page]}`,
      );
      this.printStack(allocations.stack[page]!);
    }
    if ((known & Known.Freed) === 0) dmesg.print("page_owner free stack trace missing");
    else {
      dmesg.print(`page last free pid ${frees.pid[page]} tgid ${frees.tgid[page]} stack trace:`);
      this.printStack(frees.stack[page]!);
    }
    const reason = this.migrateReasons.get(page);
    if (reason !== undefined) dmesg.print(`page has been migrated, last migrate reason: ${reason}`);
  }

  private note(owners: Owners, page: number): void {
    const { current, ftrace } = this.m;
    const pid = current?.id ?? 0;
    owners.pid[page] = pid;
    owners.tgid[page] = current?.process?.pid ?? pid;
    owners.ts[page] = this.m.now();
    owners.stack[page] = ftrace === null ? 0 : this.stacks.save(ftrace.currentStack());
    if (this.comms.get(pid) !== current?.comm) this.comms.set(pid, current?.comm ?? "swapper");
  }

  private printStack(node: number): void {
    for (const fn of this.stacks.fetch(node)) this.m.dmesg.print(` ${this.m.ftrace!.names[fn]}`);
  }
}
