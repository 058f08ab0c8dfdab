import { MAX_NODES } from "./nodes.js";

/** /proc/sys/kernel/numa_balancing: NUMA_BALANCING_*. */
export enum NumaBalancing {
  DISABLED = 0,
  NORMAL = 1,
  MEMORY_TIERING = 2,
}

/** Settings of NUMA: of policies, and of balancing (/sys/kernel/debug/sched/numa_balancing). */
export class NumaSettings {
  /** /sys/kernel/mm/mempolicy/weighted_interleave/nodeN: 1 to 255 pages in a row. */
  readonly weights = new Array<number>(MAX_NODES).fill(1);
  /** …/auto: the weights follow from bandwidths, which nobody has told: all are 1. Until one is set. */
  weightsAuto = true;
  /** NumaBalancing bits. */
  balancing: number;
  /** Milliseconds until an address space is scanned for the first time, and between two scans at least and at most. */
  scanDelayMs = 1000;
  scanPeriodMinMs = 1000;
  scanPeriodMaxMs = 60_000;
  /** How much of an address space one scan protects, in MiB. */
  scanSizeMb = 256;
  /** Of memory tiering, which there is none of: all nodes are of one tier. */
  hotThresholdMs = 1000;
  promoteRateLimitMBps = 65_536;

  /** Balancing is on by itself where there are nodes to move memory between (CONFIG_NUMA_BALANCING_DEFAULT_ENABLED). */
  constructor(nodes: number, checking: boolean) {
    this.balancing = nodes > 1 && !checking ? NumaBalancing.NORMAL : NumaBalancing.DISABLED;
  }

  /** The static key: whether anything is scanned at all. */
  get enabled(): boolean {
    return this.balancing !== (NumaBalancing.DISABLED as number);
  }
}
