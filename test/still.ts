import { O, SWITCH, TaskState, type Kernel, type MaySleep } from "@faultline/kernel";

/** Runs kernel code to its end on a machine that stands still. */
export function drive<T>(code: MaySleep<T>): T {
  for (;;) {
    const step = code.next();
    if (step.done === true) return step.value;
    if (step.value !== SWITCH) throw new Error("it waits, and nobody runs");
  }
}

/** Every path below a directory that `wanted` does not leave out, whatever it is; links are named and not followed. */
export function* tree(k: Kernel, path: string, wanted: (path: string) => boolean = () => true): MaySleep<string[]> {
  const { vfs } = k.m;
  const dir = yield* vfs.open(k, path, O.RDONLY | O.DIRECTORY, 0);
  if (typeof dir === "number") return [];
  const paths: string[] = [];
  for (const { name, kind } of yield* dir.inode.readdir!(k)) {
    const below = path === "/" ? `/${name}` : `${path}/${name}`;
    if (!wanted(below)) continue;
    paths.push(below);
    if (kind === "directory") paths.push(...(yield* tree(k, below, wanted)));
  }
  yield* vfs.put(k, dir);
  return paths;
}

/** Whether nobody but the current task, which is about to return to its program, is inside the kernel with anything in hand. */
export function atRest(k: Kernel): boolean {
  const { m } = k;
  if (!m.swapDisk!.isIdle) return false;
  for (const e of m.sched.executors) {
    for (const task of [e.current, ...e.queue]) {
      if (task === null || task === m.current) continue;
      if (task.process === null || task.exiting || task.thread.syscall !== "" || task.kstack.length > 0) return false;
    }
  }
  // Whoever sleeps does so where a signal would wake it, with nothing in hand; or is stopped.
  return m.tasks.values().every((task) => task === m.current || !task.isUser || task.state === TaskState.Running || task.state === TaskState.Interruptible || task.state === TaskState.Stopped);
}
