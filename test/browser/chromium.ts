import { existsSync } from "node:fs";
import { chromium, type Browser } from "playwright-core";

const EXECUTABLES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** Starts the Chromium of this computer. Spoken to by a pipe, so that no port is opened. */
export async function startChromium(): Promise<Browser> {
  const executablePath = process.env["CHROMIUM"] ?? EXECUTABLES.find((path) => existsSync(path));
  if (executablePath === undefined) throw new Error("no Chromium here: install Debian's package chromium, or set CHROMIUM to an executable");
  // Its sandbox refuses to work for root.
  return chromium.launch({ executablePath, args: ["--headless=new"], chromiumSandbox: process.getuid?.() !== 0 });
}
