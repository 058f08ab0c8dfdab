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
    const step = /^step (\d+)/.exec(await text("step"))![1]!;
    await expect.poll(() => page.url()).toMatch(new RegExp(`step=${step}&.*&folio=0x80006`));
    await page.reload();
    await expect.poll(() => text("hash")).toMatch(/^[0-9a-f]{64}$/);
    await page.keyboard.press("5");
    await expect.poll(() => text("folio")).toMatch(/pfn 0x80006 .*swap cache, slot 1/s);
  });

  test("a folio that has moved leads to where it went; a large one is one until it is split", async () => {
    await viewer.visit(link("migrate-exclusive"));
    const { page } = viewer;
    await expect.poll(() => text("walk-folio")).toMatch(/pfn 0x80006/);
    await page.keyboard.press("7");
    await expect.poll(() => text("history")).toMatch(/has gone to pfn 0x80007/);
    await page.keyboard.press("5");
    await page.getByTestId("history").getByRole("button", { name: "follow pfn 0x80007" }).click();
    await expect.poll(() => text("folio")).toMatch(/^\S+ pfn 0x80007 /);
    await expect.poll(() => text("history")).toMatch(/allocated.*has come from pfn 0x80006/s);
    await expect.poll(() => text("step")).not.toMatch(/^step 0 of/);
    await page.getByLabel("Page frame number").fill("80006");
    await page.getByLabel("Page frame number").press("Enter");
    await expect.poll(() => text("folio")).toMatch(/pfn 0x80006 .*the selected page has another/s);
    await viewer.visit(link("large-folio-split").replace("0x3ff7fff000", "0x3ff7ffa000"));
    await expect.poll(() => text("walk-folio")).toMatch(/order 2, refcount 4, mapcount 4/);
    await page.keyboard.press("5");
    await page.keyboard.press("7");
    await expect.poll(() => text("folio")).toMatch(/page 2 of 4 \(order 2, 16 KiB\) from pfn 0x80008/);
    await expect.poll(() => text("history")).toMatch(/\(page 3 of 4\)/);
    await viewer.picture("folio-large");
  });

  test("physical memory of a run: by keys, closer, to swap, and to a folio", async () => {
    await viewer.visit(`${link("reclaim-exclusive")}`.replace("step=0", "step=600"));
    const { page } = viewer;
    await expect.poll(() => text("hash")).toMatch(/^[0-9a-f]{64}$/);
    await page.keyboard.press("3");
    await page.keyboard.press("5");
    await expect.poll(() => text("memory-span")).toBe("a cell is a page");
    await page.getByTestId("memory").focus();
    // The first frames are the kernel's.
    await page.keyboard.press("ArrowRight");
    await expect.poll(() => text("memory-hint")).toMatch(/^pfn 0x80000: reserved/);
    for (let i = 0; i < 6; i++) await page.keyboard.press("ArrowRight");
    await expect.poll(() => text("memory-hint")).toMatch(/^pfn 0x80006: anonymous, under writeback$/);
    await expect.poll(() => text("folio")).toMatch(/pfn 0x80006 .*swap cache, slot 1/s);
    await page.keyboard.press("-");
    await page.keyboard.press("-");
    await expect.poll(() => text("memory-span")).toBe("a cell is 4 pages");
    await page.keyboard.press("+");
    await page.keyboard.press("+");
    // Down to swap, and there to the slot that it is in.
    for (let i = 0; i < 4; i++) await page.keyboard.press("ArrowDown");
    await expect.poll(() => text("memory-hint")).toMatch(/^slot 0: swap header/);
    await page.keyboard.press("ArrowRight");
    await expect.poll(() => text("memory-hint")).toMatch(/^slot 1: swap cache, entry of mm 1 at 0x3ff7fff000, swap cache: pfn 0x80006, count 1, charged to \/scenario$/);
    await viewer.picture("memory-dark");
    await page.keyboard.press("t");
    await viewer.picture("memory-light");
  });

  test("locks: from an event to its lock, and to the lock's other events", async () => {
    await viewer.visit(link("reclaim-exclusive"));
    const { page } = viewer;
    await expect.poll(() => text("walk-folio")).toMatch(/pfn 0x80006/);
    await page.keyboard.press(".");
    await expect.poll(() => page.locator(".error span").innerText()).toMatch(/^no lock is selected/);
    await page.keyboard.press("5");
    await page.getByRole("button", { name: "follow its lock" }).click();
    await expect.poll(() => text("lock")).toMatch(/^lock: the folio lock of pfn 0x80006/);
    await page.keyboard.press(".");
    const current = (): Promise<string> => page.locator(".events [aria-current=step]").innerText();
    await expect.poll(current).toMatch(/folio_lock folio=6 unlock=0 taken=1/);
    await page.keyboard.press("o");
    await expect.poll(() => text("folio")).toMatch(/pfn 0x80006 /);
    await page.keyboard.press(".");
    await expect.poll(current).toMatch(/lock_acquired .*class=folio_lock/);
    await page.keyboard.press(",");
    await expect.poll(current).toMatch(/folio_lock folio=6/);
    await page.getByLabel("Search events").fill("class=ptl");
    await page.getByLabel("Search events").press("Enter");
    await expect.poll(current).toMatch(/class=ptl/);
    await page.getByLabel("Search events").press("Escape");
    await page.keyboard.press("l");
    await expect.poll(() => text("lock")).toMatch(/^lock: ptl \d+/);
    await expect.poll(() => page.url()).toMatch(/&lock=ptl:\d+/);
    const link2 = page.url();
    await page.reload();
    await expect.poll(() => text("hash")).toMatch(/^[0-9a-f]{64}$/);
    await page.keyboard.press("5");
    await expect.poll(() => text("lock")).toMatch(/^lock: ptl \d+/);
    expect(page.url()).toBe(link2);
  });

  test("things explain themselves: to the pointer in text and pictures, and to the keyboard", async () => {
    await viewer.visit(link("reclaim-exclusive"));
    const { page } = viewer;
    await expect.poll(() => text("walk-folio")).toMatch(/pfn 0x80006/);
    const box = page.getByTestId("explanation");
    await page.getByTestId("walk-kind").hover();
    await expect.poll(() => box.innerText()).toMatch(/^device-exclusive\s+A device has the page for atomic access/);
    const documentation = box.getByRole("link");
    expect(await documentation.getAttribute("href")).toBe("https://docs.kernel.org/mm/hmm.html");
    expect(await documentation.getAttribute("target")).toBe("_blank");
    expect(await documentation.getAttribute("rel")).toContain("noopener");
    await page.keyboard.press("Escape");
    await expect.poll(() => box.count()).toBe(0);
    // A cell of the picture: the only page of the only VMA.
    await page.getByTestId("space").hover({ position: { x: 116, y: 32 } });
    await expect.poll(() => box.innerText()).toMatch(/^device-exclusive/);
    await page.mouse.move(640, 5);
    await expect.poll(() => box.count()).toBe(0);
    await page.keyboard.press("5");
    await page.getByTestId("folio").locator("dt", { hasText: "mapcount" }).focus();
    await page.keyboard.press("Shift+Tab");
    await expect.poll(() => box.innerText()).toMatch(/^refcount\s+How many references/);
    expect(await page.locator("dt:focus").getAttribute("aria-describedby")).toBe("explanation");
    await page.keyboard.press("Tab");
    await expect.poll(() => box.innerText()).toMatch(/^mapcount/);
    const [opened] = await Promise.all([viewer.page.context().waitForEvent("page"), page.keyboard.press("h")]);
    await expect.poll(() => opened.url()).toMatch(/docs\.kernel\.org\/mm\/transhuge\.html|about:blank|chrome-error/);
    await opened.close();
    // A function in the timeline.
    await page.keyboard.press("Escape");
    for (let y = 40; !/ in try_to_free_mem_cgroup_pages/.test(await text("hover")) && y < 270; y += 5) await page.getByTestId("timeline").hover({ position: { x: 300, y } });
    await expect.poll(() => box.innerText()).toMatch(/^try_to_free_mem_cgroup_pages\(\), mm\/vmscan\.c/);
    await viewer.picture("explanation");
  });
});
