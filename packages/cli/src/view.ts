import { spawn } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import type { Server } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readTrace } from "@faultline/trace";
import { firstLine, UserError } from "./failure.js";
import { readBytes } from "./trace.js";
import { viewServer } from "./view_server.js";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const VIEWER = join(ROOT, "packages/viewer");
const SITE = join(VIEWER, "dist");

/** A run, and one to compare it with. */
const TRACES_MAX = 2;

export interface ViewOptions {
  /** 0: any that is free. */
  readonly port: number;
  readonly open: boolean;
}

/** Serves the viewer, with a recording or two that are to be compared, until a signal comes; returns the exit status. */
export async function view(paths: readonly string[], options: ViewOptions): Promise<number> {
  if (paths.length > TRACES_MAX) throw new UserError(`${paths.length} files: the viewer shows one recording, or compares two`);
  return await serveView(paths.map(goodTrace), options);
}

function goodTrace(path: string): Uint8Array {
  const bytes = readBytes(path);
  const read = readTrace(bytes);
  if (typeof read === "string") throw new UserError(`${path}: ${read}`);
  if (read.end === null) process.stderr.write(`faultline: ${path}: its run was cut off; this is what was complete by then\n`);
  return bytes;
}

/** Serves the viewer, and up to two good traces, until a signal comes; returns the exit status. */
export async function serveView(traces: readonly Uint8Array[], options: ViewOptions): Promise<number> {
  await buildSite();
  const server = viewServer(SITE, traces);
  const port = await listening(server, options.port);
  const url = `http://127.0.0.1:${port}/${["", "#trace=1", "#trace=1&with=trace%3D2"][traces.length]!}`;
  process.stdout.write(`${url}\n`);
  if (options.open) openBrowser(url);
  return await new Promise<number>((resolve) => {
    const stop = (): void => {
      server.close();
      server.closeAllConnections();
      resolve(0);
    };
    process.once("SIGINT", stop);
    process.once("SIGTERM", stop);
  });
}

/**
 * Builds the site, which takes some seconds, unless it is there and nothing that it is made of is newer.
 * @throws UserError when it cannot be built
 */
export async function buildSite(): Promise<void> {
  const index = join(SITE, "index.html");
  const packages = ["kernel", "riscv", "checker", "trace"].map((name) => join(ROOT, "packages", name, "tsconfig.tsbuildinfo"));
  const parts = [...packages, ...["packages/viewer", "packages/viewer/public", "packages/viewer/src", "packages/viewer/src/core", "packages/viewer/src/views", "packages/viewer/src/worker", "scenarios", "programs/prebuilt"].flatMap((folder) => filesIn(join(ROOT, folder)))];
  const newest = Math.max(...parts.filter((path) => existsSync(path)).map((path) => statSync(path).mtimeMs));
  if (existsSync(index) && statSync(index).mtimeMs >= newest) return;
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[Kbuilding the viewer …");
  try {
    const { build } = await import("vite");
    await build({ configFile: join(VIEWER, "vite.config.ts"), logLevel: "error" });
  } catch (error) {
    throw new UserError(`the viewer cannot be built: ${firstLine(error)}`);
  } finally {
    if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
  }
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => (entry.isFile() ? [join(folder, entry.name)] : []));
}

function listening(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const reason = error.code === "EADDRINUSE" ? "is in use" : error.code === "EACCES" ? "may not be used" : `cannot be used: ${firstLine(error)}`;
      reject(new UserError(`port ${port} ${reason}`));
    });
    server.listen(port, "127.0.0.1", () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : port);
    });
  });
}

/** As the desktop does it. Where there is none, the address has been printed. */
function openBrowser(url: string): void {
  const command = process.platform === "darwin" ? "open" : "xdg-open";
  const child = spawn(command, [url], { stdio: "ignore", detached: true });
  child.on("error", () => {});
  child.unref();
}
