import { readdirSync, readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { build } from "vite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startChromium } from "./chromium.js";
import * as here from "./engine.js";

/** What a page that has loaded the bundle knows. */
declare const engine: typeof here;

const PREBUILT = fileURLToPath(new URL("../../programs/prebuilt/", import.meta.url));

/** Arguments of programs that would do too much without, or too little. */
const ARGUMENTS: Readonly<Record<string, readonly string[]>> = {
  args: ["one", "two words", ""],
  "bench-exclusive": ["1"],
  "bench-dmirror": ["migrate", "1"],
  "bench-fault": ["2"],
  "bench-integer": ["20000"],
  counter: ["3", "2000", "device"],
  "exclusive-check": ["2"],
  "exclusive-steps": ["4"],
  "exclusive-swap": ["4"],
};

/** A program of programs/prebuilt in base64. */
function programIn(name: string): string {
  return readFileSync(PREBUILT + name).toString("base64");
}

/** The engine and its scenarios as one script for a browser, which sets `engine`. */
async function bundle(): Promise<string> {
  const result = await build({
    configFile: false,
    logLevel: "error",
    plugins: [
      {
        name: "no-node",
        enforce: "pre",
        // Vite would put an empty module in its place. Libraries may be made for that, the engine is not.
        resolveId(source, importer = "") {
          if (!isBuiltin(source) || importer.includes("/node_modules/")) return;
          throw new Error(`${importer} imports ${source}, which browsers do not have`);
        },
      },
    ],
    build: {
      write: false,
      minify: false,
      lib: { entry: fileURLToPath(new URL("engine.ts", import.meta.url)), formats: ["iife"], name: "engine" },
    },
  });
  const [output] = Array.isArray(result) ? result : [];
  const [chunk, ...more] = output?.output ?? [];
  if (chunk?.type !== "chunk" || more.length > 0) throw new Error("the bundle is not one script");
  return chunk.code;
}

describe("the same in Chromium as on Node:", () => {
  let browser: Browser;
  let page: Page;

  beforeAll(async () => {
    const script = await bundle();
    browser = await startChromium();
    page = await browser.newPage();
    await page.addScriptTag({ content: script });
    console.log(`Chromium ${browser.version()}, Node ${process.versions.node}`);
  });

  afterAll(() => browser?.close());

  test.each(here.scenarioCases())("%s, release %s", async (file, release) => {
    const programs = Object.fromEntries(here.programsOf(file).map((name) => [name, programIn(basename(name))]));
    const expected = here.explored(file, release, programs);
    expect(expected.events).toBeGreaterThan(0);
    const there = await page.evaluate(([f, r, p]) => engine.explored(f, r, p), [file, release, programs] as const);
    expect(there).toEqual(expected);
  });

  const programs = readdirSync(PREBUILT).sort();
  test.each(programs.flatMap((name) => [1, 2].map((seed): [string, number] => [name, seed])))("%s, seed %i", async (name, seed) => {
    const args = ARGUMENTS[name] ?? [];
    const base64 = programIn(name);
    const expected = here.ran(name, args, base64, seed);
    expect(expected.events).toBeGreaterThan(0);
    const there = await page.evaluate(([n, a, b, s]) => engine.ran(n, a, b, s), [name, args, base64, seed] as const);
    expect(there).toEqual(expected);
  });
});

test("a seed leaves a trace of its own", () => {
  const [one, two] = [1, 2].map((seed) => here.ran("hello", [], programIn("hello"), seed));
  expect(one!.hash).not.toBe(two!.hash);
});
