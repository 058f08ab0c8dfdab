import { O, SWITCH, type Kernel, type MaySleep } from "@faultline/kernel";

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
