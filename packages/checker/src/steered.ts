import type { Executor } from "@faultline/kernel";
import { ControlledExecution } from "./execution.js";

/** An execution that is asked at each point who goes on: one of those who could, by number. */
export abstract class SteeredExecution extends ControlledExecution {
  /** Asked at each point. */
  quantum(): number {
    return 0;
  }

  /** Others wait, and the running task only retries: the next one in turn runs. No decision. */
  protected giveWay(): boolean {
    const self = this.m.executor!;
    const n = this.others(self);
    this.sinceSwitch = 0;
    if (n === 0) return false;
    this.forced++;
    let after = 0;
    for (let i = 0; i < n; i++) if (this.other(self, i).id < self.id) after++;
    this.target = this.other(self, after % n);
    return true;
  }

  protected others(self: Executor): number {
    let n = 0;
    for (const e of this.m.sched.executors) if (e !== self && this.canRun(e)) n++;
    return n;
  }

  protected other(self: Executor, index: number): Executor {
    for (const e of this.m.sched.executors) if (e !== self && this.canRun(e) && index-- === 0) return e;
    return self;
  }
}
