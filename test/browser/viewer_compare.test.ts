import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { faultline, serve } from "./served.js";
import { ViewerPage } from "./viewer_page.js";

const PROGRAM = ["programs/prebuilt/exclusive-steps", "4"];

describe("two runs beside each other", () => {
  const folder = mkdtempSync(join(tmpdir(), "faultline-compare-"));
  const viewer = new ViewerPage(() => {
    const [before, after] = [join(folder, "before.fltrace"), join(folder, "after.fltrace")];
    faultline("run", "--trace", before, "--release", "6.14", ...PROGRAM);
    faultline("run", "--trace", after, "--release", "7.3", ...PROGRAM);
    return serve(before, after);
  });
  const of = (side: "left" | "right", id: string): Promise<string> => viewer.page.getByTestId(side).getByTestId(id).innerText();
  const stepOf = async (side: "left" | "right"): Promise<number> => Number(/^step (\d+) of/.exec(await of(side, "step"))![1]);
  const current = (side: "left" | "right"): Promise<string> => viewer.page.getByTestId(side).locator(".events [aria-current=step]").innerText();

  afterAll(() => rmSync(folder, { recursive: true }));

  test("a program on two releases: corresponding steps, and what is different there", async () => {
    const { page } = viewer;
    await page.goto(viewer.served.url);
    await expect.poll(() => of("right", "kernel")).toBe("7.3");
    expect(await of("left", "kernel")).toBe("6.14");
    for (const side of ["right", "left"]) await page.getByTestId(side).getByRole("tab", { name: "Events" }).click();
    const search = page.getByLabel("Search events");
    await search.fill("madvise");
    await search.press("Enter");
    await search.press("Escape");
    await expect.poll(() => current("left")).toMatch(/madvise/);
    await expect.poll(() => current("right")).toMatch(/madvise/);
    await expect.poll(() => page.getByLabel("Differences", { exact: true }).innerText()).toMatch(/none in what is shown/);
    // After memory.reclaim 6.14 has left device-exclusive pages where they were, and 7.3 has swapped them out.
    await search.fill("ioctl sys_enter");
    for (let calls = 0; calls < 3; calls++) {
      const from = await stepOf("left");
      await search.press("Enter");
      await expect.poll(() => stepOf("left")).toBeGreaterThan(from);
    }
    await search.press("Escape");
    await expect.poll(() => current("left")).toMatch(/ioctl/);
    await expect.poll(() => current("right")).toMatch(/ioctl/);
    await expect.poll(() => page.getByTestId("differences").innerText()).toMatch(/device-exclusive\s+swap/);
    await page.getByTestId("differences").getByRole("button").first().click();
    await viewer.picture("compare");
    // The CPU's reads fault on 6.14, where the pages are still the device's.
    await page.keyboard.press(">");
    await expect.poll(() => current("left")).toMatch(/≠/);
    expect(await stepOf("right")).toBeGreaterThan(0);
    await expect.poll(() => page.url()).toMatch(/#trace=1&step=\d+&sel=.*&with=trace%3D2|with=trace=2/);
    await page.getByRole("button", { name: "end comparison" }).click();
    await expect.poll(() => page.getByTestId("kernel").innerText()).toBe("6.14");
    await expect.poll(() => page.url()).not.toMatch(/with=/);
  });

  test("two schedules of a race, by the dialog and by its link; the palette", async () => {
    const { page } = viewer;
    await viewer.visit("#scenario=fault-exclusive-dontneed&release=7.3&without=exclusive-fault-ref&schedule=7=1");
    await expect.poll(() => page.getByTestId("broken").innerText()).toMatch(/lock-on-free/);
    await page.keyboard.press("Control+p");
    await page.getByLabel("Command", { exact: true }).fill("compare another");
    await page.keyboard.press("Enter");
    const dialog = page.getByRole("dialog", { name: "Compare with" });
    await dialog.getByLabel("schedule").fill("default");
    await dialog.getByRole("button", { name: "compare", exact: true }).click();
    await expect.poll(() => page.getByTestId("right").getByText("schedule default").count()).toBe(1);
    // The fault goes on in the other one with the page that it found.
    await expect.poll(() => page.getByTestId("differences").innerText()).toMatch(/./);
    await viewer.picture("compare-schedules-dark");
    await page.keyboard.press("Home");
    await expect.poll(() => stepOf("right")).toBe(0);
    await page.keyboard.press("ArrowRight");
    await expect.poll(() => stepOf("right")).toBe(1);
    await page.keyboard.press("End");
    await expect.poll(() => stepOf("right")).toBeGreaterThan(100);
    const [left, right] = [await stepOf("left"), await stepOf("right")];
    await expect.poll(() => page.url()).toMatch(/with=scenario=fault-exclusive-dontneed%26release=7.3%26without=exclusive-fault-ref%26schedule=default/);
    await expect.poll(() => page.url()).toContain(`step=${left}&`);
    const link = page.url();
    await viewer.visit(link);
    await expect.poll(() => page.getByTestId("right").count()).toBe(1);
    await expect.poll(() => stepOf("left")).toBe(left);
    await expect.poll(() => stepOf("right")).toBe(right);
    // Where a link leads nowhere, all stays; one that compares with something else does.
    const hashOf = (words: string): Promise<void> => page.evaluate((hash) => (location.hash = hash), words).then(() => {});
    await hashOf("#scenario=none&with=scenario%3Dnone");
    await expect.poll(() => page.locator(".error span").innerText()).toBe("none: there is no scenario 'none' in the gallery");
    expect(await page.getByTestId("right").getByText("schedule default").count()).toBe(1);
    await hashOf(link.slice(link.indexOf("#")).replace("without=exclusive-fault-ref%26schedule", "schedule"));
    await expect.poll(() => of("right", "kernel")).toBe("7.3");
    await page.keyboard.press("<");
    await expect.poll(() => stepOf("left")).toBeLessThan(left);
    await page.getByTestId("left").getByRole("tab", { name: "Events" }).click();
    await expect.poll(() => current("left")).toMatch(/≠/);
    await page.keyboard.press("Control+p");
    await page.getByLabel("Command", { exact: true }).fill("12");
    await viewer.picture("palette-dark");
    await page.keyboard.press("Enter");
    await expect.poll(() => stepOf("left")).toBe(12);
    // What cannot be run leaves everything as it is.
    await page.getByRole("button", { name: "end comparison" }).click();
    await page.keyboard.press("c");
    await dialog.getByLabel("schedule").fill("x");
    await dialog.getByRole("button", { name: "compare", exact: true }).click();
    await expect.poll(() => page.locator(".error span").innerText()).toBe("fault-exclusive-dontneed: schedule: 'x' is no decision: those are written as question=alternative");
    expect(await page.getByTestId("step").innerText()).toMatch(/^step 12 of /);
  });
});
