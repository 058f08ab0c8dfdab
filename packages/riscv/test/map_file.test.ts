import { hostFile } from "@faultline/kernel";
import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

// What the same source prints natively for a file of these bytes.
test("a file of the host is mapped, and read past the page cache, as on Linux", async () => {
  const bytes = new TextEncoder().encode(Array.from({ length: 1400 }, (_, i) => `line${String(i + 1).padStart(8, "0")}\n`).join(""));
  const run = runGuest("map-file", { args: ["/mnt/file"], mounts: [{ path: "/mnt/file", source: "host", root: hostFile(bytes, 0o644) }] });
  expect(run.exitCode).toBe(0);
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/map-file.txt");
});
