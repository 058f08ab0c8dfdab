import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

// What Linux 7.2 prints for the same source, in a virtual machine with swap and huge pages on advice.
test("soft-dirty bits: which writes they tell of", () => {
  const run = runGuest("soft-dirty", { args: ["all"] });
  expect(run.failures).toEqual([]);
  expect(run.exitCode).toBe(0);
  expect(run.stdout).toMatchSnapshot();
});

// As on Linux 7.3, guard regions aside; before, what no userfaultfd has counted as written, too.
test("pagemap: reads of any size, and PAGEMAP_SCAN", () => {
  const run = runGuest("pagemap", { args: ["all"] });
  expect(run.failures).toEqual([]);
  expect(run.exitCode).toBe(0);
  expect(run.stdout).toMatchSnapshot();
});

// As on Linux 7.2 without MGLRU, whose LRU lists mark other pages as referenced.
test("mappings: what smaps says of memory mapped in many ways", () => {
  const run = runGuest("mappings", { args: ["all"] });
  expect(run.failures).toEqual([]);
  expect(run.exitCode).toBe(0);
  expect(run.stdout).toMatchSnapshot();
});

// As on Linux 7.2.
test("proc-self: files of a process that say little", () => {
  const run = runGuest("proc-self");
  expect(run.exitCode).toBe(0);
  expect(run.stdout).toMatchSnapshot();
});

// As on Linux 7.3 with huge pages on advice.
test("pagemap-wp: PAGEMAP_SCAN tells what was written, and protects it again", () => {
  const run = runGuest("pagemap-wp", { args: ["all"] });
  expect(run.failures).toEqual([]);
  expect(run.exitCode).toBe(0);
  expect(run.stdout).toMatchSnapshot();
});

// As on Linux 7.2 with huge pages on advice, and without MGLRU.
test("page-flags: kpageflags, kpagecount and kpagecgroup of pages in each state", () => {
  const run = runGuest("page-flags", { args: ["all"] });
  expect(run.failures).toEqual([]);
  expect(run.exitCode).toBe(0);
  expect(run.stdout).toMatchSnapshot();
});
