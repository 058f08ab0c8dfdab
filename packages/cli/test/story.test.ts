import { expect, test } from "vitest";
import { runStory } from "../src/story_run.js";

test("the story, at a sixteenth of its size", () => {
  const steps: number[] = [];
  const before = runStory({ release: "6.14", mib: 64 }, (done) => steps.push(done));
  const after = runStory({ release: "7.3", mib: 64 }, () => {});
  // The program's own few pages; then the mirror buffer of 2 MiB besides.
  for (const { populated, exclusive } of [before, after]) {
    expect(populated).toEqual({ rss: 65536 + 24, swap: 0 });
    expect(exclusive).toEqual({ rss: 65536 + 24 + 2048, swap: 0 });
  }
  expect(before.reclaimError).toBe("EAGAIN (Resource temporarily unavailable)");
  expect(before.reclaimed.rss).toBeGreaterThanOrEqual(65536);
  expect(before.swapUsed).toBeGreaterThanOrEqual(65536);
  expect(after.reclaimError).toBeNull();
  expect(after.reclaimed.rss).toBeLessThan(2200);
  expect(after.reclaimed.swap).toBeGreaterThanOrEqual(65536);

  expect(steps.length).toBeGreaterThan(3);
  expect(steps).toEqual([...steps].sort((a, b) => a - b));
  expect(steps.at(-1)).toBeLessThanOrEqual(1);
});
