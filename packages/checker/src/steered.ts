import type { Executor } from "@faultline/kernel";
import { ControlledExecution } from "./execution.js";

/** An execution that is asked at each point who goes on: one of those who could, by number. */
export abstract class SteeredExecution extends ControlledExecution {
  /** What `canGoOn` found. */
  private readonly able: Executor[] = [];

  /** Asked at each point. */
  quantum(): number {
    return 0;
  }

  /** Others wait, and the running task only retries: the next one in turn runs. No decision. */
  protected giveWay(): boolean {
    const self = this.m.executor!;
    const [, ...others] = this.canGoOn(self);
    this.sinceSwitch = 0;
    if (others.length === 0) return false;
    this.forced++;
    const before = others.filter((e) => e.id < self.id).length;
    this.target = others[before % others.length]!;
    return true;
  }

  /** The one who runs, then all others who could: good until the next call. */
  protected canGoOn(self: Executor): readonly Executor[] {
    const { able } = this;
    let n = 0;
    able[n++] = self;
    for (const e of this.m.sched.executors) if (e !== self && this.canRun(e)) able[n++] = e;
    if (able.length > n) able.length = n;
    return able;
  }
}
