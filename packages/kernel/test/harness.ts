import {
  assembleKernel,
  Executor,
  FileTable,
  initialLimits,
  Machine,
  type Kernel,
  type MaySleep,
  type Mm,
  type OverlayFactory,
  Process,
  SignalHandlers,
  startSwapDisk,
  Task,
} from "../src/index.js";

export interface HarnessOptions {
  frames?: number;
  swapSlots?: number;
  cpus?: number;
  nodes?: number;
  seed?: number;
  overlays?: readonly OverlayFactory[];
  /** Pages of device-private memory that there are, all in one chunk. */
  devicePages?: number;
  /** Keeps who allocated each page, with the chain of functions. */
  pageOwner?: boolean;
}

/** A machine without file systems, for tests of memory management alone. */
export function makeKernel(options: HarnessOptions = {}): Kernel {
  const m = new Machine({
    frames: options.frames ?? 4096,
    reservedFrames: 16,
    swapSlots: options.swapSlots ?? 4096,
    cpus: options.cpus ?? 1,
    nodes: options.nodes ?? 1,
    seed: options.seed ?? 1,
    tlbEntries: 256,
    checking: false,
    ...(options.devicePages === undefined ? {} : { deviceMemory: { coherent: 0, private: options.devicePages, chunk: options.devicePages } }),
    pageOwner: options.pageOwner === true,
  });
  const k = assembleKernel(m, options.overlays, options.pageOwner);
  startSwapDisk(k);
  k.vmscan.startKswapd(k);
  return k;
}

/** Runs one user task to its end; what its body returns. */
export function runTask<T>(k: Kernel, body: (mm: Mm) => MaySleep<T>): T {
  const { m } = k;
  const process = new Process(100, "test", null, new FileTable(), new SignalHandlers(), m.memcgs.root, false, initialLimits(m));
  let result: { value: T } | null = null;
  function* main(): MaySleep<void> {
    const mm = yield* k.mmap.mmAlloc(k);
    if (mm === null) throw new Error("no memory for an address space");
    m.current!.mm = mm;
    process.mm = mm;
    m.switchMm(m.executor!, mm);
    result = { value: yield* body(mm) };
    yield* k.mmap.exitMmap(k, mm);
    process.mm = null;
  }
  const task = new Task(100, "test", m.sched.executors.find((e: Executor) => !e.isDevice)!, main(), {
    process,
    memcg: m.memcgs.root,
  });
  process.threads.add(task);
  m.processes.set(100, process);
  m.tasks.set(task.id, task);
  m.sched.start(task);
  m.sched.run();
  if (result === null) throw new Error(`the task never finished: it waits for ${task.waitingFor}`);
  return (result as { value: T }).value;
}
