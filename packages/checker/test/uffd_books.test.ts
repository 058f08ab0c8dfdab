import type { MaySleep, OverlayFactory } from "@faultline/kernel";
import { expect, test } from "vitest";
import uffdCloseVsFault from "../../../scenarios/uffd-close-vs-fault.js";
import uffdCopyVsFault from "../../../scenarios/uffd-copy-vs-fault.js";
import { explore, type Scenario } from "../src/index.js";

/** A fault that leaves its place in the queue behind. */
const STAYS: OverlayFactory = ({ userfaultfd }) => ({
  userfaultfd: {
    *handleUserfault(k, at, reason): MaySleep<number> {
      const { uffd } = at.vma;
      const result = yield* userfaultfd.handleUserfault(k, at, reason);
      uffd?.pending.push({ task: k.m.current!, msg: { event: 0x12, flags: 0, address: at.addr, ptid: 0 } });
      return result;
    },
  },
});

/** A fault that takes a reference too many. */
const HOLDS: OverlayFactory = ({ userfaultfd }) => ({
  userfaultfd: {
    *handleUserfault(k, at, reason): MaySleep<number> {
      const { uffd } = at.vma;
      const result = yield* userfaultfd.handleUserfault(k, at, reason);
      if (uffd !== null) uffd.references++;
      return result;
    },
  },
});

test.each([
  ["a place in a queue", uffdCopyVsFault as Scenario, STAYS, /^\d+ tasks are in the queues of userfaultfd 1, and have ended or gone on$/],
  ["a reference", uffdCopyVsFault as Scenario, HOLDS, /^userfaultfd 1 has 2 references, and 1 holders$/],
  ["a reference to what is closed", uffdCloseVsFault as Scenario, HOLDS, /^userfaultfd 1 has \d references, and 0 holders$/],
])("%s that a fault leaves behind is a leak", (_title, scenario, overlay, message) => {
  const { violation } = explore(scenario, { overlays: [overlay], preemptions: 1 });
  expect(violation).toMatchObject({ kind: "leak", message: expect.stringMatching(message) as string });
});
