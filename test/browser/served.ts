import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
export const CLI = join(ROOT, "packages/cli/bin/faultline.js");
/** Where to keep pictures of what is tested; nowhere unless given. */
const PICTURES = process.env["VIEWER_PICTURES"];

export interface Served {
  readonly url: string;
  readonly child: ChildProcess;
}

export function faultline(...args: string[]): string {
  const { stdout } = spawnSync(process.execPath, [CLI, ...args], { cwd: ROOT, encoding: "utf8" });
  return stdout;
}

/** `faultline view`, and the address that it prints. */
export function serve(...args: string[]): Promise<Served> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [CLI, "view", "--no-open", ...args], { cwd: ROOT });
    let text = "";
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (text.endsWith("\n")) resolve({ url: text.trim(), child });
    });
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`faultline view ended with ${code}`)));
  });
}

export async function takePicture(page: Page, name: string): Promise<void> {
  if (PICTURES === undefined) return;
  // What has been asked to be drawn is drawn in the next frame.
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  await page.screenshot({ path: join(PICTURES, `${name}.png`) });
}
