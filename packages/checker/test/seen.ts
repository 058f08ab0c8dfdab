import { PG, Tlb, WaitQueue, type Machine } from "@faultline/kernel";
import type { World } from "../src/world.js";
import { entries, picture } from "./picture.js";

/** Properties that say nothing to a thread. */
const UNSEEN: ReadonlySet<string> = new Set([
  // Time, turns and statistics; who is told, and who decides.
  ...["nextId", "timeNs", "atimeNs", "mtimeNs", "ctimeNs", "begin", "quantumLeft", "quantumStart", "sliceEnd", "busyUntil", "done", "turns", "invalidateSeq", "numaStats", "vmstat", "counters", "minorFaults", "majorFaults", "cpuTimeNs", "prunedAt", "startedAt"],
  ...["sink", "observer", "refs", "dmesg", "choices", "strategy", "eligible", "retries", "classes"],
  // For kswapd, which runs in no scenario.
  "kswapdZones",
  // What a task is about to do is in the key.
  ...["body", "k"],
  // To have found a lock taken is as good as to be about to look: there is nothing to be done before it is free.
  ...["spinsFor", "contended"],
]);

/** What threads can see of a machine, whoever runs. */
export function seen({ m, k, scenario, options, shared }: World): string[] {
  const leaveOut = new Set<object>([k, scenario, shared, options, options.follower!, m, m.locks.byId, m.ram, m.memmap, m.pt]);
  const machine = Object.fromEntries(Object.entries(m).filter(([key]) => key !== "current" && key !== "executor"));
  return [...picture(machine, leaveOut, UNSEEN, brief), ...entries(m), ...frames(m)];
}

/** What has left-overs beside what counts, and orders that nobody can tell. */
function brief(object: object): string | null {
  if (object instanceof WaitQueue) return object.order().join();
  if (object instanceof Tlb) {
    const { readTag, writeTag, execTag, frame } = object;
    return Array.from(frame, (to, slot) => {
      const tags = [readTag[slot]!, writeTag[slot]!, execTag[slot]!];
      return tags.some((tag) => tag >= 0) ? `${slot}: ${tags.join(" ")} -> ${to}` : "";
    }).join();
  }
  if ("pages" in object && object.pages instanceof Int32Array && "count" in object) return object.pages.subarray(0, Number(object.count)).join();
  return null;
}

/** Frames in use: their books, and what is in them. */
function frames({ memmap, ram }: Machine): string[] {
  const { refcount, mapcount, flags, mapping, index, private: slot, memcg, order } = memmap;
  const lines: string[] = [];
  for (let frame = 0; frame < memmap.nrPages; frame++) {
    if (refcount[memmap.folioOf(frame)] === 0) continue;
    const books = [refcount, mapcount, flags, mapping, index, slot, memcg, order].map((array) => array[frame]);
    const words = ram.words.subarray(frame << 10, (frame + 1) << 10);
    // What nobody has mapped yet, and nothing was read into, holds what the frame's last user has left.
    const read = (flags[frame]! & PG.uptodate) !== 0 || mapcount[frame] !== 0;
    lines.push(`frame ${frame}: ${books.join(" ")}: ${read && words.some((word) => word !== 0) ? words.join(" ") : "zero"}`);
  }
  return lines;
}
