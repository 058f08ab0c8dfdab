import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

// memory.events counts two tries to charge without a retry and sixteen with one, then the OOM killer, and one try and sixteen more:
// Linux 6.18 fails as often.
test("a cgroup without memory kills who is worst, and with him whoever has his memory; who may not be killed gets an error", () => {
  const run = runGuest("oom-cgroup");
  expect(run.stderr).toBe("");
  expect(run.exitCode).toBe(0);
  expect(run.stdout.trimEnd().split("\n")).toMatchInlineSnapshot(`
    [
      "one process",
      "  status 0, signal 9; max 35, oom 1, oom_kill 1, oom_group_kill 0, in vmstat 1; still there: 0",
      "a process whose memory another has, too",
      "  status 0, signal 9; max 35, oom 1, oom_kill 1, oom_group_kill 0, in vmstat 1; still there: 0",
      "a process with a child that vfork() made",
      "  status 0, signal 9; max 35, oom 1, oom_kill 1, oom_group_kill 0, in vmstat 1; still there: 0",
      "half of its pages are on a device",
      "  status 0, signal 9; max 35, oom 1, oom_kill 1, oom_group_kill 0, in vmstat 1; still there: 0",
      "a device writes",
      "  status 0, signal 9; max 35, oom 1, oom_kill 1, oom_group_kill 0, in vmstat 1; still there: 0",
      "memory.oom.group",
      "  status 0, signal 9; max 35, oom 1, oom_kill 4, oom_group_kill 1, in vmstat 4; still there: 1",
      "another has oom_score_adj 600",
      "  status 0, signal 9; max 35, oom 1, oom_kill 1, oom_group_kill 0, in vmstat 1; still there: 1",
      "it has oom_score_adj -1000",
      "  read() is short: 1",
      "  MADV_POPULATE_WRITE: -12",
      "  mlock(): -11",
      "  WRITE: -14",
      "  EXCLUSIVE: -12",
      "  status 4, signal 0; max 90, oom 5, oom_kill 0, oom_group_kill 0, in vmstat 0; still there: 0",
      "oom_score_adj of two processes",
      "  theirs 300, ours 400, after vfork() 400",
      "memory.high, and swap",
      "  status 7, high events: 1, peak beyond it by 1 MiB: 0, took ten seconds: 0",
      "memory.high, and no swap",
      "  status 7, high events: 1, peak beyond it by 1 MiB: 1, took ten seconds: 1",
    ]
  `);
});
