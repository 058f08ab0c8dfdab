import { relative } from "node:path";
import type { LoadedDriver } from "./driver_file.js";
import type { LoadedPatch } from "./patch_file.js";

/** What the user has written besides a program or a scenario, and runs in the kernel. */
export type UsersModule = LoadedPatch | LoadedDriver;

/** The innermost place in a driver or a patch that a stack names, for what it has called throws deep inside; null for none. */
export function callerOf(stack: string, users: readonly UsersModule[]): string | null {
  for (const frame of stack.split("\n")) {
    for (const user of users) {
      const source = user.sources.find((path) => frame.includes(path));
      if (source === undefined) continue;
      return `${"driver" in user ? "driver" : "patch"} ${source === user.path ? user.file : relative("", source)}:${placeIn(frame, source).slice(0, -1)}`;
    }
  }
  return null;
}

/** The innermost line of a file that a stack names, as " line 7:"; empty where it names none. Columns are those of the JavaScript. */
export function placeIn(stack: string, path: string): string {
  const at = stack.indexOf(`${path}:`);
  const line = at < 0 ? null : /^\d+/.exec(stack.slice(at + path.length + 1));
  return line === null ? "" : ` line ${line[0]}:`;
}
