import type { Machine } from "../machine.js";
import { gfpText } from "./gfp.js";
import { MigrateType } from "./pageblock.js";

/** Who allocated a page, or freed it, and when. */
interface Owner {
  readonly pid: number;
  readonly tgid: number;
  readonly comm: string;
  readonly ts: number;
  /** Functions of the kernel, innermost first: the same array for the same chain. */
  readonly stack: readonly string[];
}

interface Allocation extends Owner {
  readonly order: number;
  readonly type: MigrateType;
  readonly gfp: number;
  /** Not freed since. */
  live: boolean;
}

/**
 * CONFIG_PAGE_OWNER: which chain of functions allocated each page, and which freed it last. Costs
 * memory and time, so it is there only when a machine boots with page_owner=on.
 */
export class PageOwner {
  private readonly allocations = new Map<number, Allocation>();
  private readonly frees = new Map<number, Owner>();
  private readonly migrateReasons = new Map<number, string>();
  private readonly stacks = new Map<string, readonly string[]>();

  constructor(private readonly m: Machine) {}

  allocated(page: number, order: number, gfp: number, type: MigrateType): void {
    this.allocations.set(page, { ...this.owner(), order, gfp, type, live: true });
    this.migrateReasons.delete(page);
  }

  freed(page: number): void {
    this.frees.set(page, this.owner());
    const allocation = this.allocations.get(page);
    if (allocation !== undefined) allocation.live = false;
  }

  /** The contents of a page have moved: their owner goes along, and it shows why. */
  moved(src: number, dst: number, reason: string): void {
    const allocation = this.allocations.get(src);
    if (allocation !== undefined) this.allocations.set(dst, { ...allocation });
    this.migrateReasons.set(dst, reason);
  }

  /** Says in the kernel log what is known of a page. */
  dump(page: number): void {
    const { dmesg } = this.m;
    const allocation = this.allocations.get(page);
    const free = this.frees.get(page);
    if (allocation === undefined && free === undefined) {
      dmesg.print("page_owner info is not present (never set?)");
      return;
    }
    dmesg.print(`page_owner tracks the page as ${allocation?.live === true ? "allocated" : "freed"}`);
    if (allocation !== undefined) {
      const { order, type, gfp, pid, tgid, comm, ts, stack } = allocation;
      dmesg.print(
        `page last allocated via order ${order}, migratetype ${MigrateType[type]}, ` +
          `gfp_mask 0x${gfp.toString(16)}(${gfpText(gfp)}), pid ${pid}, tgid ${tgid} (${comm}), ` +
          `ts ${ts}, free_ts ${free?.ts ?? 0}`,
      );
      for (const name of stack) dmesg.print(` ${name}`);
    }
    if (free === undefined) dmesg.print("page_owner free stack trace missing");
    else {
      dmesg.print(`page last free pid ${free.pid} tgid ${free.tgid} stack trace:`);
      for (const name of free.stack) dmesg.print(` ${name}`);
    }
    const reason = this.migrateReasons.get(page);
    if (reason !== undefined) dmesg.print(`page has been migrated, last migrate reason: ${reason}`);
  }

  private owner(): Owner {
    const task = this.m.current;
    return {
      pid: task?.id ?? 0,
      tgid: task?.process?.pid ?? task?.id ?? 0,
      comm: task?.comm ?? "swapper",
      ts: this.m.now(),
      stack: this.stack(),
    };
  }

  private stack(): readonly string[] {
    const { ftrace } = this.m;
    if (ftrace === null) return [];
    const key = ftrace.currentStack().join(",");
    let stack = this.stacks.get(key);
    if (stack === undefined) {
      stack = ftrace.stack();
      this.stacks.set(key, stack);
    }
    return stack;
  }
}
