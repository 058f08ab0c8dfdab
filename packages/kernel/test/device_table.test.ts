import fc from "fast-check";
import { expect, test } from "vitest";
import { DeviceTable, type DeviceEntry } from "../src/index.js";

const vpn = fc.oneof(fc.integer({ min: 0, max: 2000 }), fc.integer({ min: 0, max: (1 << 26) - 1 }));
const entry = fc.record({ page: fc.integer({ min: 0, max: (1 << 20) - 1 }), write: fc.boolean(), atomic: fc.boolean() });
const step = fc.oneof(
  fc.record({ op: fc.constant("set" as const), vpn, entry }),
  fc.record({ op: fc.constant("invalidate" as const), vpn, pages: fc.integer({ min: 1, max: 1 << 26 }) }),
  fc.record({ op: fc.constant("clear" as const) }),
);

test("a device table is a map with ranges", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const table = new DeviceTable();
      const model = new Map<number, DeviceEntry>();
      for (const s of steps) {
        if (s.op === "set") {
          table.set(s.vpn, s.entry);
          model.set(s.vpn, s.entry);
        } else if (s.op === "invalidate") {
          table.invalidate(s.vpn, s.vpn + s.pages);
          for (const key of [...model.keys()]) if (key >= s.vpn && key < s.vpn + s.pages) model.delete(key);
        } else {
          table.clear();
          model.clear();
        }
        expect(table.size).toBe(model.size);
      }
      expect(new Map(table)).toEqual(model);
      for (const key of model.keys()) expect(table.get(key)).toEqual(model.get(key));
    }),
    { seed: 1, numRuns: 300 },
  );
});
