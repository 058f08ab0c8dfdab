/**
 * Ctrl-C while the engine runs: noticed between two parts of the run. A call that blocks the
 * whole process has to be ended by the signal itself.
 */
export class Interrupt {
  private seen = false;
  private readonly notice = (): void => {
    this.seen = true;
    // The next one is not waited for.
    process.off("SIGINT", this.notice);
  };

  constructor() {
    process.on("SIGINT", this.notice);
  }

  get raised(): boolean {
    return this.seen;
  }

  /** Runs a call during which no handler could run: SIGINT ends the process then. */
  blocking<T>(call: () => T): T {
    process.off("SIGINT", this.notice);
    try {
      return call();
    } finally {
      if (!this.seen) process.on("SIGINT", this.notice);
    }
  }

  dispose(): void {
    process.off("SIGINT", this.notice);
  }
}
