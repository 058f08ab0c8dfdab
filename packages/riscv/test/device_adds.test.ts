import { Dmirror, Task, TaskState, WaitQueue, type MaySleep } from "@faultline/kernel";
import { expect, test } from "vitest";
import type { LinuxMachine } from "../src/index.js";
import { runGuest } from "./guest.js";

const ADDITIONS = 100;
/** Machine time between two additions: the CPUs get some work done, and take the page back. */
const PAUSE_NS = 3_000;

/** A device whose engine adds to the guest's counter by itself, as a GPU's compute kernel would. */
function startDevice(machine: LinuxMachine, strace: readonly string[]): { added: number; errors: number[] } {
  const { m, k } = machine;
  const done = { added: 0, errors: [] as number[] };
  const executor = m.sched.addExecutor("engine", true, 1);
  const nap = new WaitQueue(m);

  function* sleep(self: Task): MaySleep<void> {
    m.sched.addTimer(m.now() + PAUSE_NS, false, () => m.sched.wake(self));
    yield* nap.sleep(TaskState.Uninterruptible, "pause between additions");
  }

  function* engine(): MaySleep<void> {
    const self = m.current!;
    let counter: number | null = null;
    // The program maps its counter first, on a page of its own.
    for (; counter === null; yield* sleep(self)) {
      const mapped = strace.find((line) => line.startsWith("mmap(") && line.includes("= 0x"));
      if (mapped !== undefined) counter = Number(/= (0x[0-9a-f]+)$/.exec(mapped)![1]);
    }
    const mm = [...m.processes.values()].find((p) => p.comm === "counter")!.mm!;
    const dmirror = new Dmirror(k, m.devices[0]!, mm);
    yield* k.mmuNotifier.intervalInsert(k, dmirror.notifier);
    for (let i = 0; i < ADDITIONS; i++) {
      const old = yield* k.testHmm.deviceAtomicAdd32(k, dmirror, counter, 1);
      if (old < 0) done.errors.push(old);
      else done.added++;
      yield* sleep(self);
    }
    yield* k.mmuNotifier.intervalRemove(k, dmirror.notifier);
  }

  const task = new Task(m.sched.allocateTaskId(), "engine", executor, engine(), { memcg: m.memcgs.root });
  m.sched.start(task);
  return done;
}

test.each([1, 2, 3])("four threads, two CPUs and a device add to one word: nothing is lost (seed %i)", (seed) => {
  let device = { added: 0, errors: [] as number[] };
  const run = runGuest("counter", {
    args: ["4", "100000"],
    cpus: 2,
    seed,
    prepare: (machine, strace) => {
      device = startDevice(machine, strace);
    },
  });
  expect(device).toEqual({ added: ADDITIONS, errors: [] });
  expect(run.stdout).toContain(`4 threads, 100000 additions each: ${400_000 + ADDITIONS}\n`);
});
