import { expect, test } from "vitest";
import { kernfsNameHash, kernfsOrder } from "../src/fs/kernfs.js";

/** As Linux lists /sys/kernel/mm/transparent_hugepage. */
const LISTED = [
  "hugepages-32kB", "hugepages-512kB", "defrag", "khugepaged", "enabled", "hugepages-2048kB", "hugepages-1024kB", "hugepages-64kB",
  "hugepages-16kB", "shrink_underused", "use_zero_page", "hugepages-8kB", "shmem_enabled", "hugepages-256kB", "hpage_pmd_size", "hugepages-128kB",
];

test("directories of sysfs are listed by what names hash to", () => {
  const entries = [...LISTED].sort().map((name, ino) => ({ name, ino, kind: "file" as const }));
  expect(kernfsOrder(entries).map(({ name }) => name)).toEqual(LISTED);
  for (const name of LISTED) expect(kernfsNameHash(name)).toBeLessThan(0x7fff_ffff);
});
