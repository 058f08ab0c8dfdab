import { NO_PAGE, type Kernel, type OverlayFactory } from "@faultline/kernel";
import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

/** Fails the page that the name of the thread says, counted from when it has that name, and calls it "failed". */
const failing: OverlayFactory = (base) => {
  let counted = "";
  let count = 0;
  const fails = ({ m }: Kernel): boolean => {
    const task = m.current!;
    if (!task.comm.startsWith("fail ")) return false;
    const now = `${task.id} ${task.comm}`;
    if (counted !== now) count = 0;
    counted = now;
    if (++count !== Number(task.comm.slice(5))) return false;
    task.comm = "failed";
    return true;
  };
  const counts = ({ m }: Kernel): boolean => m.current?.comm.startsWith("fail ") === true;
  return {
    pageAlloc: {
      // All go the slow way, which is where they are counted.
      allocFast: (k, wanted, nodes) => (counts(k) ? NO_PAGE : base.pageAlloc.allocFast(k, wanted, nodes)),
      *allocSlow(k, wanted, nodes) {
        return counts(k) && fails(k) ? NO_PAGE : yield* base.pageAlloc.allocSlow(k, wanted, nodes);
      },
      *allocFolio(k, wanted, order, nodes) {
        return order > 0 && counts(k) && fails(k) ? NO_PAGE : yield* base.pageAlloc.allocFolio(k, wanted, order, nodes);
      },
    },
  };
};

test("whichever page cannot be had, nothing is lost, and who asked is told", () => {
  const run = runGuest("alloc-failures", { overlays: [failing] });
  expect(run.stderr).toBe("");
  expect(run.exitCode).toBe(0);
  expect(run.stdout.trimEnd().split("\n")).toMatchInlineSnapshot(`
    [
      "MIGRATE_TO_DEV: 12 x -2 12 x -12 1 x -2; pages lost: 0",
      "MIGRATE_TO_SYS: 4 x -12 1 x 4; pages lost: 0",
      "EXCLUSIVE: 20 x -12 8 x -14 1 x 12; pages lost: 0",
      "READ: 12 x -12 12 x -14 1 x 12; pages lost: 0",
      "WRITE: 8 x 12 12 x -12 4 x -14 1 x 12; pages lost: 0",
      "RELEASE: 5 x 0; pages lost: 0",
      "stores: 9 x 0; pages lost: 0",
      "fork(): 10 x -12 2 x 0; pages lost: 0",
      "mremap(): 2 x -12 1 x 0; pages lost: 0",
      "MADV_COLLAPSE: 1 x -12 4 x -22 1 x 0; pages lost: 0",
      "MADV_POPULATE_WRITE: 8 x -12 1 x 0; pages lost: 0",
      "mlock(): 8 x -11 1 x 0; pages lost: 0",
    ]
  `);
});
