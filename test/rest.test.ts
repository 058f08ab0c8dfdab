import { Event } from "@faultline/kernel";
import { expect, test } from "vitest";
import { Invariants } from "../packages/checker/src/invariants.js";
import { LockOrder } from "../packages/checker/src/lock_order.js";
import { runGuest } from "../packages/riscv/test/guest.js";
import { atRest } from "./still.js";

/* What somebody is counted with who sleeps until a program answers is no leak. */
test("the rules hold while tasks sleep in a userfaultfd's queues", () => {
  const found: string[] = [];
  let looked = 0;
  runGuest("uffd-monitor", {
    // Whoever has anything in hand is known by the functions that it is in.
    ftrace: true,
    memoryBytes: 32 * 2 ** 20,
    prepare: ({ k, m }) => {
      const report = ({ kind, message }: { kind: string; message: string }): void => void found.push(`${kind}: ${message}`);
      const locks = new LockOrder(report);
      m.locks.observer = locks;
      const invariants = new Invariants(k, m.mirrors, locks, report);
      m.sink = {
        point: (executor, op, object) => {
          invariants.point(executor, op, object);
        },
        emit: (event, a, b, c, d, e, f) => {
          invariants.emit(event, a, b, c, d, e, f);
          if (event !== Event.SysExit || !atRest(k)) return;
          if (m.userfaultfds.every(({ pending, faults }) => pending.length + faults.length === 0)) return;
          looked++;
          invariants.atRest();
        },
      };
    },
  });
  expect(found).toEqual([]);
  expect(looked).toBeGreaterThan(0);
});
