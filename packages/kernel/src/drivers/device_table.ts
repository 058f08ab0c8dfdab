import type { Machine } from "../machine.js";
import { Event } from "../trace.js";

/** One translation of a device: a page, and what the device may do with it. */
export interface DeviceEntry {
  readonly page: number;
  readonly write: boolean;
  /** Mapped for atomic operations: the CPU has no access while this stands. */
  readonly atomic: boolean;
}

const WRITE = 1;
const ATOMIC = 2;
const NODE_SHIFT = 6;
const NODE_ENTRIES = 1 << NODE_SHIFT;

/**
 * A device's own page table: nodes of 64 entries, found by the upper bits of the virtual page
 * number. An entry is 0, or (page + 1) << 2 with its permissions below. It is shared state: whoever reads or changes it has
 * announced that (Op.DeviceLookup, Op.DeviceTable) with the number of its notifier, as the functions of `k.device` do.
 */
export class DeviceTable {
  private readonly nodes = new Map<number, Int32Array>();
  /** Valid translations. */
  size = 0;

  constructor(
    private readonly m: Machine | null = null,
    /** Of the notifier of the mirror that it belongs to. */
    private readonly id = 0,
  ) {}

  get(vpn: number): DeviceEntry | undefined {
    const raw = this.nodes.get(vpn >>> NODE_SHIFT)?.[vpn & (NODE_ENTRIES - 1)] ?? 0;
    return raw === 0 ? undefined : decode(raw);
  }

  set(vpn: number, entry: DeviceEntry): void {
    const key = vpn >>> NODE_SHIFT;
    let node = this.nodes.get(key);
    if (node === undefined) this.nodes.set(key, (node = new Int32Array(NODE_ENTRIES)));
    if (node[vpn & (NODE_ENTRIES - 1)] === 0) this.size++;
    this.m?.sink?.emit(Event.DeviceMap, this.id, vpn, entry.page, (entry.write ? WRITE : 0) | (entry.atomic ? ATOMIC : 0));
    node[vpn & (NODE_ENTRIES - 1)] =
      ((entry.page + 1) << 2) | (entry.write ? WRITE : 0) | (entry.atomic ? ATOMIC : 0);
  }

  /** Drops the translations of [start, end). */
  invalidate(start: number, end: number): void {
    if (this.size === 0) return;
    this.m?.sink?.emit(Event.DeviceUnmap, this.id, start, end, 0);
    // Of a range that is larger than what the device maps, only the nodes that exist are visited.
    if (end - start > this.nodes.size * NODE_ENTRIES) {
      for (const key of this.nodes.keys()) this.invalidateNode(key, start, end);
    } else {
      for (let key = start >>> NODE_SHIFT; key <= (end - 1) >>> NODE_SHIFT; key++) this.invalidateNode(key, start, end);
    }
  }

  private invalidateNode(key: number, start: number, end: number): void {
    const node = this.nodes.get(key);
    if (node === undefined) return;
    const first = key << NODE_SHIFT;
    const to = Math.min(NODE_ENTRIES, end - first);
    for (let i = Math.max(0, start - first); i < to; i++) {
      if (node[i] === 0) continue;
      node[i] = 0;
      this.size--;
    }
  }

  clear(): void {
    for (const node of this.nodes.values()) node.fill(0);
    this.size = 0;
  }

  /** Every valid translation, by virtual page number. */
  *[Symbol.iterator](): Generator<[vpn: number, entry: DeviceEntry], void, void> {
    if (this.size === 0) return;
    for (const [key, node] of this.nodes) {
      for (let i = nextUsed(node, 0); i < NODE_ENTRIES; i = nextUsed(node, i + 1)) yield [(key << NODE_SHIFT) + i, decode(node[i]!)];
    }
  }
}

/** The first entry at or behind an index that is not empty; NODE_ENTRIES for none. */
function nextUsed(node: Int32Array, index: number): number {
  while (index < NODE_ENTRIES && node[index] === 0) index++;
  return index;
}

function decode(raw: number): DeviceEntry {
  return { page: (raw >> 2) - 1, write: (raw & WRITE) !== 0, atomic: (raw & ATOMIC) !== 0 };
}
