import { accessSync, constants, existsSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { callsOf, emitC, type Scenario, type Violation } from "@faultline/checker";
import { commandThatReplays } from "./check_report.js";
import type { CheckWish } from "./check_run.js";
import { UserError } from "./failure.js";
import { isSameFile, OutputFile } from "./trace_file.js";

/** The C program that is to be written for a violation, in the file that the user wants it in. */
export class EmittedFile {
  /**
   * Looks at the file, and leaves it as it is: nothing may be found.
   * @throws UserError when it cannot be written, or is one that is read
   */
  constructor(
    private readonly path: string,
    private readonly wish: CheckWish,
  ) {
    const complaint = (problem: string): UserError => new UserError(`${path}: ${problem}`);
    const resolved = resolve(path);
    const folder = dirname(resolved);
    if (!existsSync(folder)) throw complaint("there is no such folder");
    const there = statSync(resolved, { throwIfNoEntry: false });
    if (there?.isDirectory() === true) throw complaint("is a directory");
    const { file, patch, trace } = wish;
    if ([file, ...patch].some((source) => isSameFile(path, source))) throw complaint("is the file that is read from");
    if (trace !== undefined && (resolve(trace) === resolved || isSameFile(path, trace))) throw complaint("is the file that --trace writes");
    try {
      accessSync(there === undefined ? folder : resolved, constants.W_OK);
    } catch {
      throw complaint("may not be written");
    }
  }

  /**
   * What the program leaves out, a line each.
   * @throws UserError when the file cannot be written
   */
  write(scenario: Scenario, violation: Violation): readonly string[] {
    const { release, without, patch, driver, file } = this.wish;
    const command = commandThatReplays(this.wish, violation);
    const { text, omitted } = emitC(scenario, violation, callsOf(scenario), { release, without, patches: [...patch, ...driver], command });
    const output = new OutputFile(this.path, file);
    output.write(new TextEncoder().encode(text));
    output.close();
    return omitted;
  }
}
