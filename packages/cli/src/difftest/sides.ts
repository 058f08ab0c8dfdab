import { spawnSync } from "node:child_process";
import { resolvePatches, type OverlayFactory } from "@faultline/kernel";
import { LinuxMachine, type OperatorOutput } from "@faultline/riscv";
import { UserError } from "../failure.js";
import { LikeHost, operatorLine } from "../like_host.js";
import { ENVIRONMENT, readProgram, type Program } from "../run.js";
import { encodeLists, type Operation } from "./operations.js";
import { parseOutput, type Output } from "./output.js";

const MEMORY_BYTES = 2 ** 27;
const NATIVE_TIMEOUT_MS = 60_000;
/** Of the CPUs, between two operations: many times more than a whole list takes. */
const TURNS_MAX = 5_000_000;
/**
 * khugepaged scans when the first process asks for huge pages, and every ten seconds after. Where a list is by
 * then is up to the scheduler on either side, so it looks at one range, collapses what is full, and sleeps.
 */
const KHUGEPAGED = "/sys/kernel/mm/transparent_hugepage/khugepaged";
const KHUGEPAGED_SLEEPS = [
  `echo 1 > ${KHUGEPAGED}/pages_to_scan`,
  `echo 4294967295 > ${KHUGEPAGED}/scan_sleep_millisecs`,
  ...["none", "shared", "swap"].map((name) => `echo 0 > ${KHUGEPAGED}/max_ptes_${name}`),
].map(operatorLine);

type Lists = readonly (readonly Operation[])[];

/** What the Linux underneath does, as the program prints it. @throws UserError where it does not end well */
export function nativeText(program: string, lists: Lists): string {
  const { status, signal, stdout, error } = spawnSync(program, [], { input: encodeLists(lists), encoding: "latin1", maxBuffer: 2 ** 30, timeout: NATIVE_TIMEOUT_MS, killSignal: "SIGKILL" });
  if (error !== undefined) throw new UserError(`difftest, natively: ${error.message}`);
  if (status !== 0) throw new UserError(`difftest, natively, has ended with ${signal ?? `status ${status}`}: ${stdout.trimEnd().split("\n").at(-1)}`);
  return stdout;
}

export function runNatively(program: string, lists: Lists): Output {
  return parseOutput(nativeText(program, lists));
}

/** What a machine like the host does. An exception of the engine's is passed on. */
export class GuestSide {
  private readonly program: Program;
  private readonly overlays: readonly OverlayFactory[];

  /** @param release what the machine's kernel is; one of RELEASES */
  constructor(path: string, release: string) {
    this.program = readProgram(path);
    const overlays = resolvePatches({ release, without: [] });
    if (typeof overlays === "string") throw new Error(overlays);
    this.overlays = overlays;
  }

  run(lists: Lists): Output & { readonly missing: readonly string[] } {
    const host = new LikeHost();
    const input = encodeLists(lists);
    const out: Buffer[] = [];
    let at = 0;
    const ignored: OperatorOutput = { stdout: () => {}, failure: () => {} };
    const linux = new LinuxMachine({
      memoryBytes: MEMORY_BYTES,
      swapBytes: host.swapBytes,
      cpus: 1,
      seed: 1,
      overlays: this.overlays,
      ...this.program,
      path: "/bin/difftest",
      argv: ["difftest"],
      env: ENVIRONMENT,
      stdin: (max) => input.subarray(at, (at += Math.min(max, input.length - at))),
      stdout: (bytes) => out.push(Buffer.from(bytes)),
      stderr: () => {},
      limits: host.limits,
      before: [...host.lines, ...KHUGEPAGED_SLEEPS],
      operatorOutput: host.around(ignored),
    });
    let printed: number;
    let result;
    do {
      printed = out.length;
      result = linux.runFor(TURNS_MAX);
    } while (result === null && out.length > printed);
    const text = Buffer.concat(out).toString("latin1");
    if (result === null) throw new Error(`difftest goes on for ever as a guest, after ${text.slice(-200)}`);
    if (result.end === "stuck") throw new Error(`difftest is stuck as a guest: ${result.stuck.join("; ")}`);
    const { status } = result;
    if (status === null || !("code" in status) || status.code !== 0) throw new Error(`difftest, as a guest, has ended with ${JSON.stringify(status)}, after ${text.slice(-200)}`);
    return { ...parseOutput(text), missing: host.missing };
  }
}
