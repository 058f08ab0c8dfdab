import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const FAULTLINE = join(ROOT, "packages/cli/bin/faultline.js");

/** What a command did. */
export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Where commands keep what they can resume. */
const STATE = mkdtempSync(join(tmpdir(), "faultline-state-"));
process.on("exit", () => rmSync(STATE, { recursive: true, force: true }));

const ENVIRONMENT = { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined, COLUMNS: "80", XDG_STATE_HOME: STATE };

/** Runs the real command line in `cwd`. */
export function faultline(args: readonly string[], options: { cwd?: string; input?: string | Uint8Array; env?: Readonly<Record<string, string>> } = {}): Outcome {
  const { status, stdout, stderr } = spawnSync(process.execPath, [FAULTLINE, ...args], {
    cwd: options.cwd ?? ROOT,
    input: options.input ?? "",
    encoding: "utf8",
    env: { ...ENVIRONMENT, ...options.env },
    maxBuffer: 2 ** 28,
    // A guest may spin for ever; Ctrl-C ends that.
    timeout: 60_000,
    killSignal: "SIGINT",
  });
  return { status, stdout, stderr };
}

/** Starts the command line and lets it run. */
export function startFaultline(args: readonly string[], stdin: "ignore" | "pipe" = "ignore"): ReturnType<typeof spawn> {
  return spawn(process.execPath, [FAULTLINE, ...args], { cwd: ROOT, env: ENVIRONMENT, stdio: [stdin, "pipe", "pipe"] });
}

/** Path of a program of the repository, relative to its root. */
export function prebuilt(name: string): string {
  return `programs/prebuilt/${name}`;
}

/** A folder with some files, for the time of a call. */
export function withFiles<T>(files: Readonly<Record<string, string | Uint8Array>>, use: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), "faultline-"));
  try {
    for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
    return use(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
