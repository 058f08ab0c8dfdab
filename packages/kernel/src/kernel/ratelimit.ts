import type { Machine } from "../machine.js";

const INTERVAL_NS = 5_000_000_000;
const BURST = 10;

/** Lets ten through in five seconds, and says how many it did not when it lets one through again. */
export class Ratelimit {
  private begin = -1;
  /** How many it has let through in the interval that runs. */
  printed = 0;
  private missed = 0;

  /** `who`: the function that is limited, as its message names it. */
  constructor(
    private readonly m: Machine,
    private readonly who: string,
  ) {}

  allows(): boolean {
    const now = this.m.now();
    if (this.begin < 0) this.begin = now;
    if (now > this.begin + INTERVAL_NS) {
      if (this.missed > 0) this.m.dmesg.print(`${this.who}: ${this.missed} callbacks suppressed`);
      this.begin = now;
      this.printed = 0;
      this.missed = 0;
    }
    if (this.printed < BURST) {
      this.printed++;
      return true;
    }
    this.missed++;
    return false;
  }
}
