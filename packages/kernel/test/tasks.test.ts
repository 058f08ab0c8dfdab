import { expect, test } from "vitest";
import { PID_MAX, type Task } from "../src/kernel/sched.js";
import { makeKernel } from "./harness.js";

test("task ids begin again below pid_max, and pass over those in use", () => {
  const { sched, tasks } = makeKernel().m;
  const first = sched.allocateTaskId();
  for (let id = first + 1; id < PID_MAX; id++) expect(sched.allocateTaskId()).toBe(id);
  tasks.set(300, { id: 300 } as Task);
  expect(sched.allocateTaskId()).toBe(301);
});
