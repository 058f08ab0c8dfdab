import { describe, expect, test } from "vitest";
import { serve } from "./served.js";
import { ViewerPage } from "./viewer_page.js";

/** The page, and the frame that it begins with in these scenarios. */
const PAGE = "0x3ff7fff000";

function link(scenario: string, more = ""): string {
  return `#scenario=${scenario}&release=7.3&schedule=default&step=0&sel=1:${PAGE}${more}`;
}

describe("the viewer's folios", () => {
  const viewer = new ViewerPage(() => serve());
  const text = (id: string): Promise<string> => viewer.text(id);

  test("a folio is followed from a device to swap and back, and stays when its page has another", async () => {
    await viewer.visit(link("reclaim-exclusive"));
    const { page } = viewer;
    await expect.poll(() => text("walk-folio")).toMatch(/^folio pfn 0x80006 order 0, refcount 1, mapcount 1$/);
    await page.keyboard.press("5");
    await expect.poll(() => text("folio")).toMatch(/^A pfn 0x80006 anonymous\s+RAM, node 0, zone DMA32, memory16 \(online\); a folio of one page/);
    expect(await text("holders")).toMatch(/^1 device-exclusive entry of mm 1 at 0x3ff7fff000\s+0 hmm_dmirror0 maps it for mm 1 at 0x3ff7fff000: atomic$/);
    await page.keyboard.press("7");
    await expect.poll(() => text("history-bound")).toMatch(/^\d+ of \d+ events, 0 allocations of the frame$/);
    const rows = await text("history");
    const places = [/since before the recording began/, /L locked/, /drops its translation/, /device-exclusive entry .* becomes present, writable/, /goes to swap slot 1/, /swapped in from slot 1/, /made device-exclusive/, /hmm_dmirror0 maps it .*: atomic/, /a device writes it/, /− freed/].map((pattern) => rows.search(pattern));
    expect(places).toEqual([...places].sort((a, b) => a - b));
    expect(places).not.toContain(-1);
    await viewer.picture("folio-dark");
    // } goes through the rows, one by one.
    const steps = (await page.getByTestId("history").locator("li:not(.life) .number").allInnerTexts()).map(Number);
    for (const step of steps.slice(0, 3)) {
      await page.keyboard.press("}");
      await expect.poll(() => text("step")).toMatch(new RegExp(`^step ${step} of `));
    }
    await page.keyboard.press("{");
    await expect.poll(() => text("step")).toMatch(new RegExp(`^step ${steps[1]} of `));
    await page.getByTestId("history").getByText("goes to swap slot 1").first().click();
    await expect.poll(() => page.url()).toMatch(/&folio=0x80006/);
    await page.keyboard.press("4");
    await expect.poll(() => text("walk-kind")).toMatch(/^S 0x3ff7fff000 swap/);
    await page.keyboard.press("5");
    await expect.poll(() => text("folio")).toMatch(/swap cache, slot 1/);
    await page.reload();
    await expect.poll(() => text("hash")).toMatch(/^[0-9a-f]{64}$/);
    await expect.poll(() => page.url()).toMatch(/&folio=0x80006/);
    await page.keyboard.press("5");
    await expect.poll(() => text("folio")).toMatch(/pfn 0x80006 .*swap cache, slot 1/s);
  });
});
