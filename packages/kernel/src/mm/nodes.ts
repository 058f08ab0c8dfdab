/** As many nodes as a machine may have: their numbers fit a mask. */
export const MAX_NODES = 8;
/** What memory costs on one's own node, and on another (the ACPI SLIT's scale): every other one is as far. */
export const LOCAL_DISTANCE = 10;
export const REMOTE_DISTANCE = 20;
/** RAM goes to nodes in whole memory blocks, where it is large enough. */
const NODE_ALIGN_ORDER = 15;

/** "no node", as Linux has it. */
export const NUMA_NO_NODE = -1;

/** How CPUs and RAM are divided into nodes; never changes. Each has an equal share, the last one what is left. */
export class Nodes {
  private readonly pagesEach: number;

  constructor(
    /** 1 to MAX_NODES. */
    readonly count: number,
    private readonly frames: number,
    private readonly cpus: number,
  ) {
    const share = Math.floor(frames / count);
    const order = Math.min(NODE_ALIGN_ORDER, 31 - Math.clz32(share));
    this.pagesEach = (share >>> order) << order;
  }

  /** Bits of all nodes. */
  get mask(): number {
    return (1 << this.count) - 1;
  }

  /** The node that a page of RAM is on. Memory of devices is node 0's. */
  of(page: number): number {
    if (this.count === 1 || page >= this.frames) return 0;
    return Math.min(this.count - 1, Math.floor(page / this.pagesEach));
  }

  startPage(node: number): number {
    return node * this.pagesEach;
  }

  endPage(node: number): number {
    return node === this.count - 1 ? this.frames : (node + 1) * this.pagesEach;
  }

  /** The node of a CPU: neighbours share one. A node may have none. */
  ofCpu(cpu: number): number {
    return this.cpus >= this.count ? Math.floor((cpu * this.count) / this.cpus) : cpu;
  }

  cpusOf(node: number): number[] {
    return Array.from({ length: this.cpus }, (_, cpu) => cpu).filter((cpu) => this.ofCpu(cpu) === node);
  }

  distance(from: number, to: number): number {
    return from === to ? LOCAL_DISTANCE : REMOTE_DISTANCE;
  }

  /** All nodes, nearest first; of those as far, the next in the circle first, so that not all fall back to the same. */
  byDistance(from: number): number[] {
    return Array.from({ length: this.count }, (_, i) => (from + i) % this.count);
  }

  /** The numbers in a mask, lowest first. */
  static in(mask: number): number[] {
    return Array.from({ length: MAX_NODES }, (_, node) => node).filter((node) => (mask & (1 << node)) !== 0);
  }
}
