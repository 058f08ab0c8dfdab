import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import { Task, TaskState, WaitQueue, type Executor } from "../kernel/sched.js";
import type { Kernel } from "../kernel.js";
import type { Device } from "./device.js";

/** What a device is to do: plain data of the driver's own making. */
export type EngineJob = Readonly<Record<string, unknown>>;

/**
 * A device's engine: works through jobs in the order in which they were queued, on an executor of its own, so that it
 * runs against the CPUs and other devices.
 */
export class DeviceEngine {
  readonly queue: EngineJob[] = [];
  /** Jobs that have been queued, and that are done. */
  queued = 0;
  done = 0;
  /** Where the engine waits for jobs, and others for theirs to be done. */
  readonly wait: WaitQueue;
  readonly finished: WaitQueue;
  private readonly task: Task;

  constructor(
    private readonly k: Kernel,
    readonly device: Device,
    executor: Executor,
  ) {
    const { m } = k;
    this.wait = new WaitQueue(m);
    this.finished = new WaitQueue(m);
    this.task = new Task(m.sched.allocateTaskId(), device.name, executor, k.device.engineThread(k, this), { memcg: m.memcgs.root });
    m.sched.start(this.task);
  }

  /** The machine has gone back to where the engine was idle: so is its task, wherever it had got to. */
  idle(): void {
    this.task.body = this.k.device.engineThread(this.k, this);
  }

  get isIdle(): boolean {
    return this.queue.length === 0 && this.task.waitingFor === "idle";
  }

  /** Whether it is this task's. */
  runs(task: Task): boolean {
    return task === this.task;
  }

  /** While it has something to do, the machine is not at its end. */
  busy(): void {
    const { m } = this.k;
    if (m.config.checking) m.tasks.set(this.task.id, this.task);
  }

  rest(): void {
    const { m } = this.k;
    if (m.config.checking) m.tasks.delete(this.task.id);
  }
}

/** What the engine's task does, for ever. */
export function* engineThread(k: Kernel, engine: DeviceEngine): MaySleep<void> {
  const { device } = engine;
  for (;;) {
    if (k.m.point(Op.Device, device.id)) yield SWITCH;
    const job = engine.queue.shift();
    if (job === undefined) {
      engine.rest();
      yield* engine.wait.sleep(TaskState.Uninterruptible, "idle");
      continue;
    }
    yield* device.driver.execute!(k, device, job);
    if (k.m.point(Op.Device, device.id)) yield SWITCH;
    engine.done++;
    engine.finished.wakeAll();
  }
}
