import { describe, expect, test } from "vitest";
import { snakeCase } from "../src/kernel/ftrace.js";
import { assembleKernel, BLOCK, Event, MapFlag, Prot, Task, TaskState, WaitQueue, type Kernel, type KernelModules, type MaySleep, type Overlay } from "../src/index.js";
import { makeKernel, runTask } from "./harness.js";

/** A traced kernel with some functions replaced. */
function traced(overlay: (base: KernelModules) => Overlay = () => ({})): Kernel {
  return assembleKernel(makeKernel().m, [overlay], true);
}

test("a stack has the functions between the task and the allocation, innermost first", () => {
  const stacks: string[][] = [];
  const k = traced((base) => ({
    pageAlloc: {
      allocFast(kernel: Kernel, gfp: number): number {
        stacks.push(kernel.m.ftrace!.stack());
        return base.pageAlloc.allocFast(kernel, gfp);
      },
    },
  }));
  runTask(k, function* (mm) {
    const addr = yield* k.mmap.doMmap(k, mm, 0, 4096, Prot.READ | Prot.WRITE, MapFlag.PRIVATE | MapFlag.ANONYMOUS, null, 0);
    stacks.length = 0;
    yield* k.uaccess.putUser32(k, addr, 1);
    expect(k.m.ftrace!.stack()).toEqual([]);
  });
  expect(stacks).toContainEqual([
    "alloc_fast",
    "alloc_anon_folio",
    "do_anonymous_page",
    "do_pte_missing",
    "handle_mm_fault",
    "fault_under_mmap_lock",
    "do_page_fault",
    "handle_user_fault",
    "access_frame",
    "copy_to_user_part",
    "copy_to_user",
    "put_user32",
  ]);
});

describe("the stack is right", () => {
  test("after exceptions", () => {
    const k = traced(() => ({
      swap: {
        *lruAddDrain(): Generator<never, void, void> {
          yield* [];
          throw new Error("no");
        },
      },
      vmscan: {
        wakeupKswapd(): void {
          throw new Error("neither");
        },
      },
    }));
    runTask(k, function* () {
      for (const fail of [() => k.swap.lruAddDrain(k).next(), () => k.vmscan.wakeupKswapd(k, 0)]) {
        expect(fail).toThrow();
        expect(k.m.ftrace!.stack()).toEqual([]);
      }
      yield* [];
    });
  });

  test("when a generator is given up, in silence or not", () => {
    const k = traced(() => ({
      swap: {
        *lruAddDrain(): MaySleep<void> {
          yield BLOCK;
        },
        *lruAddDrainAll(kernel: Kernel): MaySleep<void> {
          kernel.swap.lruAddDrain(kernel).next();
          expect(kernel.m.ftrace!.stack()).toEqual(["lru_add_drain", "lru_add_drain_all"]);
          yield* [];
        },
      } as Overlay["swap"],
    } as Overlay));
    runTask(k, function* () {
      const one = k.swap.lruAddDrain(k);
      one.next();
      expect(k.m.ftrace!.stack()).toEqual(["lru_add_drain"]);
      one.return();
      expect(k.m.ftrace!.stack()).toEqual([]);
      yield* k.swap.lruAddDrainAll(k);
      expect(k.m.ftrace!.stack()).toEqual([]);
    });
  });

  test("while a task sleeps and another runs", () => {
    const seen: string[][] = [];
    const k: Kernel = traced(() => ({
      swap: {
        *lruAddDrainAll(kernel: Kernel): MaySleep<void> {
          yield* queue.sleep(TaskState.Uninterruptible, "a test");
          seen.push(kernel.m.ftrace!.stack());
        },
        *lruAddDrain(kernel: Kernel): MaySleep<void> {
          seen.push(kernel.m.ftrace!.stack());
          queue.wakeAll();
          yield* [];
        },
      } as Overlay["swap"],
    } as Overlay));
    const { m } = k;
    const queue = new WaitQueue(m);
    const sleeper = new Task(50, "sleeper", m.sched.executors[0]!, k.swap.lruAddDrainAll(k), { memcg: m.memcgs.root });
    m.sched.start(sleeper);
    runTask(k, function* () {
      while (sleeper.kstack.length === 0) yield BLOCK;
      yield* k.swap.lruAddDrain(k);
      while (sleeper.state !== TaskState.Dead) yield BLOCK;
    });
    expect(seen).toEqual([["lru_add_drain"], ["lru_add_drain_all"]]);
    expect(sleeper.kstack).toEqual([]);
  });
});

test("entries and exits nest in each task", () => {
  const k = traced();
  const { m } = k;
  const open = new Map<number, number[]>();
  let calls = 0;
  m.ftrace!.emitting = true;
  m.sink = {
    point: () => {},
    emit: (event, id) => {
      const task = m.current?.id ?? 0;
      const stack = open.get(task) ?? [];
      open.set(task, stack);
      if (event === Event.FuncEntry) stack.push(id);
      if (event !== Event.FuncExit) return;
      expect(stack.pop()).toBe(id);
      calls++;
    },
  };
  runTask(k, function* (mm) {
    const addr = yield* k.mmap.doMmap(k, mm, 0, 4 << 20, Prot.READ | Prot.WRITE, MapFlag.PRIVATE | MapFlag.ANONYMOUS, null, 0);
    for (let page = 0; page < 1024; page++) yield* k.uaccess.putUser32(k, (addr) + page * 4096, page);
    yield* k.vmscan.memoryReclaim(k, m.memcgs.root, 512);
  });
  expect(calls).toBeGreaterThan(10_000);
  expect([...open.values()].filter((stack) => stack.length > 0).length).toBeLessThanOrEqual(2);
});

test("a traced kernel has every function and constant of the other", () => {
  const k = traced();
  const plain = makeKernel();
  for (const [module, members] of Object.entries(plain)) {
    if (module === "m") continue;
    const copies = (k as unknown as Record<string, Record<string, unknown>>)[module]!;
    for (const [name, member] of Object.entries(members as Record<string, unknown>)) {
      expect(typeof copies[name], `${module}.${name}`).toBe(typeof member);
      if (typeof member !== "function") expect(copies[name]).toBe(member);
    }
  }
});

test("names are spelt as the kernel spells them", () => {
  expect(["doAnonymousPage", "putUser32", "hmmRangeFault", "pageVmaMapped"].map(snakeCase)).toEqual([
    "do_anonymous_page",
    "put_user32",
    "hmm_range_fault",
    "page_vma_mapped",
  ]);
});
