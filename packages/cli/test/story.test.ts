import { expect, test } from "vitest";
import { runStory } from "../src/story_run.js";

test("the story, at a sixteenth of its size", () => {
  const steps: number[] = [];
  const before = runStory({ release: "6.14", mib: 64, pageOwner: true }, (done) => steps.push(done));
  const after = runStory({ release: "7.3", mib: 64, pageOwner: false }, () => {});
  // The program's own few pages; then the mirror buffer of 2 MiB besides.
  for (const { populated, exclusive } of [before, after]) {
    expect(populated).toEqual({ rss: 65536 + 20, swap: 0 });
    expect(exclusive).toEqual({ rss: 65536 + 20 + 2048, swap: 0 });
  }
  expect(before.reclaimError).toBe("EAGAIN (Resource temporarily unavailable)");
  expect(before.reclaimed.rss).toBeGreaterThanOrEqual(65536);
  expect(before.swapUsed).toBeGreaterThanOrEqual(65536);
  expect(after.reclaimError).toBeNull();
  expect(after.reclaimed.rss).toBeLessThan(2200);
  expect(after.reclaimed.swap).toBeGreaterThanOrEqual(65536);

  // The whole program lies in the block, which has nothing else in it.
  const all = 64 * 256;
  expect(before).toMatchObject({
    block: 18,
    inBlock: { exclusive: all, mapped: 0 },
    offlineError: "EINTR (Interrupted system call)",
    blockState: "online",
    leftInBlock: { exclusive: all, mapped: 0 },
    checked: `checked ${all} pages, 0 wrong`,
  });
  expect(after).toMatchObject({
    block: 18,
    inBlock: { exclusive: all, mapped: all },
    offlineError: null,
    blockState: "offline",
    leftInBlock: { exclusive: 0, mapped: 0 },
    dump: [],
    checked: `checked ${all} pages, 0 wrong`,
  });
  expect(before.dump[0]).toMatch(/^migrating pfn 9[\da-f]{4} failed ret:16384$/);
  expect(before.dump[1]).toMatch(/^page: refcount:2 mapcount:0 mapping:0{16} index:0x[\da-f]+ pfn:0x9[\da-f]{4}$/);
  expect(before.dump).toContain("page dumped because: migration failure");
  expect(before.dump).toContain(" do_anonymous_page");

  expect(steps.length).toBeGreaterThan(3);
  expect(steps).toEqual([...steps].sort((a, b) => a - b));
  expect(steps.at(-1)).toBeLessThanOrEqual(1);
});
