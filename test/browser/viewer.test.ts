import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { CLI, faultline, ROOT, serve } from "./served.js";
import { ViewerPage } from "./viewer_page.js";

const SCENARIO = "fault-exclusive-dontneed";
const LINK = `#scenario=${SCENARIO}&release=7.3&without=exclusive-fault-ref&schedule=7=1`;

describe("the viewer", () => {
  const folder = mkdtempSync(join(tmpdir(), "faultline-viewer-"));
  const race = join(folder, "race.fltrace");
  let hash: string;
  const viewer = new ViewerPage(() => {
    faultline("check", `scenarios/${SCENARIO}.ts`, "--without", "exclusive-fault-ref", "--replay", "7=1", "--trace", race);
    hash = /^hash +(\w+)$/m.exec(faultline("trace", race))![1]!;
    return serve(race);
  });
  let page: Page;
  const text = (id: string): Promise<string> => viewer.text(id);
  const picture = (name: string): Promise<void> => viewer.picture(name);
  const visit = (link: string): Promise<void> => viewer.visit(link);

  /** Drops a file onto the page. */
  const drop = async (name: string, content: Uint8Array): Promise<void> => {
    const transfer = await page.evaluateHandle(
      ([file, data]) => {
        const dropped = new DataTransfer();
        dropped.items.add(new File([Uint8Array.from(atob(data), (char) => char.charCodeAt(0))], file));
        return dropped;
      },
      [name, Buffer.from(content).toString("base64")] as const,
    );
    await page.dispatchEvent("body", "drop", { dataTransfer: transfer });
  };

  beforeEach(() => {
    ({ page } = viewer);
  });

  afterAll(() => rmSync(folder, { recursive: true }));

  test("a recording: its hash, steps, and a page with all that is known of it", async () => {
    await page.goto(viewer.served.url);
    await expect.poll(() => text("hash")).toBe(hash);
    // It opens where the rule was seen to be broken, on what that is about.
    const step = /^lock-on-free at step (\d+)$/.exec(await text("broken"))![1]!;
    expect(await text("step")).toMatch(new RegExp(`^step ${step} of \\d+, `));
    await expect.poll(() => text("walk-kind")).toMatch(/0x3ff7fff000 /);
    await page.keyboard.press("Home");
    await expect.poll(() => text("step")).toMatch(/^step 0 of \d+, /);
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowLeft");
    await expect.poll(() => text("step")).toMatch(/^step 1 of/);
    await expect.poll(() => page.locator("[aria-current=step] .number").innerText()).toBe("1");
    await page.getByTestId("space").focus();
    await page.keyboard.press("ArrowRight");
    await expect.poll(() => text("walk-kind")).toMatch(/^X 0x[0-9a-f]+000 device-exclusive$/);
    expect(await text("walk-mirror")).toMatch(/^hmm_dmirror0\s+atomic → pfn 0x/);
    expect(await text("walk-folio")).toMatch(/^folio pfn 0x80[0-9a-f]{3} order 0, refcount 1, mapcount 1/);
    await page.keyboard.press("]");
    await expect.poll(() => text("step")).not.toMatch(/^step 1 of/);
    await expect.poll(() => page.locator("[aria-current=step]").innerText()).toMatch(/page_fault_kernel address=0x3ff7fff000/);
    await expect.poll(() => page.url()).toMatch(/#trace=1&step=\d+&sel=1:0x/);
    await picture("recording-dark");
  });

  test("a link: computed here, the hash that Node has; the same picture once more", async () => {
    await visit(LINK);
    await expect.poll(() => text("hash")).toBe(hash);
    expect(await text("broken")).toMatch(/^lock-on-free at step \d+$/);
    const step = /\d+/.exec(await text("broken"))![0];
    expect(await text("step")).toMatch(new RegExp(`^step ${step} of `));
    await page.getByRole("tab", { name: "Race diagram" }).click();
    expect(await text("race")).toMatch(/\^\^\^ lock-on-free/);
    const diagram = page.getByTestId("race");
    await expect.poll(() => diagram.locator("[aria-current=step]").innerText()).toMatch(/\^\^\^ lock-on-free/);
    await diagram.getByRole("button", { name: "write PTE of 0x3ff7fff000" }).click();
    await expect.poll(() => diagram.locator("[aria-current=step]").innerText()).toMatch(/write PTE of 0x3ff7fff000/);
    expect(await text("step")).not.toMatch(new RegExp(`^step ${step} of `));
    await expect.poll(() => text("walk-kind")).toMatch(/device-exclusive/);
    await picture("race");
    await page.getByRole("tab", { name: "Events" }).click();
    await page.getByTestId("space").focus();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("Home");
    await expect.poll(() => text("walk-kind")).toMatch(/device-exclusive/);
    await expect.poll(() => page.url()).toMatch(/step=0&sel=1:0x/);
    const [link, kind] = [page.url(), await text("walk-kind")];
    await page.reload();
    await expect.poll(() => text("walk-kind")).toBe(kind);
    expect(await text("step")).toMatch(/^step 0 of /);
    await expect.poll(() => page.url()).toBe(link);
  });

  test("a program runs in the page: calls, search, pages, and light", async () => {
    await visit("#program=exclusive-steps&release=7.3&seed=1&arg=4");
    await expect.poll(() => text("hash")).toMatch(/^[0-9a-f]{64}$/);
    const search = page.getByLabel("Search events");
    await search.fill("make_device_exclusive");
    await search.press("Enter");
    await expect.poll(() => page.locator("[aria-current=step]").innerText()).toMatch(/make_device_exclusive/);
    await search.press("Escape");
    await page.keyboard.press("t");
    await page.keyboard.press("f");
    await page.getByTestId("space").focus();
    await page.keyboard.press("ArrowDown");
    await expect.poll(() => text("walk-kind")).toMatch(/0x10000 /);
    await page.getByLabel("Address", { exact: true }).fill("3ff6c00000");
    await page.getByLabel("Address", { exact: true }).press("Enter");
    await expect.poll(() => text("walk-kind")).toMatch(/0x3ff6c00000 /);
    // The run is repeated up to here.
    await expect.poll(() => text("basis")).toBe("all of the state is of this step");
    await picture("program-light");
    await search.fill("page_fault_user");
    await search.press("Enter");
    await search.press("Escape");
    await page.keyboard.press("f");
    for (let i = 0; i < 8; i++) await page.keyboard.press("s");
    await page.keyboard.press("m");
    expect(await text("by-time")).toBe("by time");
    const step = await text("step");
    // Where the mouse is, whatever the axis: the machine time of a step that is far from where steps would have it.
    const box = (await page.getByTestId("timeline").boundingBox())!;
    await page.mouse.click(box.x + box.width - 3, box.y + 60);
    await expect.poll(() => text("step")).not.toBe(step);
    await page.mouse.move(box.x + box.width - 3, box.y + 35);
    await page.keyboard.press("w");
    await picture("timeline-by-time");
    await page.getByTestId("by-time").click();
    expect(await text("by-time")).toBe("by step");
    await search.fill("no event has this");
    await search.press("Enter");
    await expect.poll(() => page.locator(".error span").innerText()).toBe("no later event has 'no event has this'");
  });

  test("a program that is dropped onto the page is run, as the form says", async () => {
    await visit("");
    await page.getByLabel("arguments").fill("4 two");
    await page.getByLabel("arguments").press("Tab");
    await drop("mine", readFileSync(join(ROOT, "programs/prebuilt/exclusive-steps")));
    await expect.poll(() => page.locator("h1").innerText()).toBe("mine 4 two");
    await page.getByRole("tab", { name: "Output" }).click();
    expect(await text("output")).not.toBe("");
    const hash = await text("hash");
    await drop("broken", Buffer.concat([readFileSync(join(ROOT, "programs/prebuilt/exclusive-steps")).subarray(0, 90)]));
    await expect.poll(() => page.locator(".error span").innerText()).toMatch(/^broken: /);
    expect(await text("hash")).toBe(hash);
  });

  test("what cannot be opened says so, and what is open stays", async () => {
    await page.goto(viewer.served.url);
    await expect.poll(() => text("hash")).toBe(hash);
    const bytes = readFileSync(race);
    const truncated = bytes.subarray(0, 60);
    const flipped = Buffer.from(bytes);
    flipped[Math.floor(bytes.length / 2)]! ^= 8;
    for (const [name, content, message] of [
      ["foreign.fltrace", Buffer.from("<img src=x onerror=alert(1)>"), "foreign.fltrace: it is no trace of Faultline"],
      ["empty.fltrace", Buffer.alloc(0), "empty.fltrace: it is empty"],
      ["cut.fltrace", truncated, "cut.fltrace: it ends before it says what ran"],
      ["flipped.fltrace", flipped, /^flipped\.fltrace: it is damaged between bytes \d+ and \d+$/],
      ["<b>name</b>.fltrace", Buffer.from("x"), "<b>name</b>.fltrace: it is no trace of Faultline"],
    ] as const) {
      await drop(name, content);
      if (typeof message === "string") await expect.poll(() => page.locator(".error span").innerText()).toBe(message);
      else await expect.poll(() => page.locator(".error span").innerText()).toMatch(message);
      expect(await text("hash")).toBe(hash);
    }
    await visit("#scenario=no-such-thing");
    await expect.poll(() => page.locator(".error span").innerText()).toBe("no-such-thing: there is no scenario 'no-such-thing' in the gallery");
    await visit(LINK.replace("7=1", "7=x"));
    await expect.poll(() => page.locator(".error span").innerText()).toMatch(/schedule: '7=x' is no decision/);
    await picture("gallery-dark");
  });

  test("the server has its own files and that one trace, for its own page", async () => {
    const { port } = new URL(viewer.served.url);
    const ask = (path: string, headers: Record<string, string> = {}, method = "GET"): Promise<number> =>
      new Promise((resolve, reject) => {
        const asked = request({ host: "127.0.0.1", port, path, method, headers }, (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        });
        asked.on("error", reject);
        asked.end();
      });
    expect(await ask("/")).toBe(200);
    expect(await ask("/trace-1.fltrace")).toBe(200);
    for (const path of ["/../package.json", "/..%2f..%2fpackage.json", "/etc/passwd", "/race.fltrace", "//evil/", "/assets/"]) expect([path, await ask(path)]).toEqual([path, 404]);
    expect(await ask("/trace-1.fltrace", { host: "evil.example" })).toBe(421);
    expect(await ask("/trace-1.fltrace", { "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors" })).toBe(403);
    expect(await ask("/", {}, "POST")).toBe(405);
  });

  test("the command refuses what is no trace, in a line", () => {
    const bad = join(folder, "bad.fltrace");
    writeFileSync(bad, "no trace");
    for (const [args, message] of [
      [[bad], `${bad}: it is no trace of Faultline`],
      [[join(folder, "none")], `${join(folder, "none")}: no such file`],
      [["--port", "99999"], "--port '99999': "],
    ] as const) {
      const { status, stderr } = spawnSync(process.execPath, [CLI, "view", "--no-open", ...args], { cwd: ROOT, encoding: "utf8" });
      expect(status).toBe(125);
      expect(stderr).toContain(`faultline: ${message}`);
      expect(stderr.trim().split("\n").length).toBe(1);
    }
  });
});
