import { PTE, type Machine, type SecondaryEntry, type SecondaryTlb } from "@faultline/kernel";
import type { About, Finding } from "./violation.js";

/** What a device has cached of an address space. */
interface Cached {
  readonly tlb: SecondaryTlb;
  readonly vpn: number;
  readonly entry: SecondaryEntry;
}

/**
 * TLBs of devices that share a CPU's page table (Documentation/mm/mmu_notifier.rst):
 *
 *  - What they had of a range before arch_invalidate_secondary_tlbs() was called for it, they have no more when it returns.
 *  - No frame is freed that they have; nobody but a subscriber of arch_invalidate_secondary_tlbs() can see to that.
 *  - When the address space is released they walk its page table no more.
 *  - At rest they have what the page table grants.
 */
export class SecondaryRules {
  /** What there was when a task began to tell of a flush; by task. */
  private readonly before = new Map<number, readonly Cached[]>();

  constructor(
    private readonly m: Machine,
    private readonly report: (finding: Finding) => void,
  ) {}

  /** An execution begins. */
  begin(): void {
    if (this.before.size > 0) this.before.clear();
  }

  /** Devices that cache translations are told of a flush, or have been. */
  invalidated(mm: number, start: number, end: number, done: boolean): void {
    const task = this.m.current!.id;
    if (!done) {
      this.before.set(task, this.cached(mm).filter(({ vpn }) => vpn >= start && vpn < end));
      return;
    }
    for (const { tlb, vpn, entry } of this.before.get(task) ?? []) {
      if (tlb.entries.get(vpn) !== entry) continue;
      this.fail(`${tlb.device.name} still has frame ${entry.page} cached at page ${hex(vpn)} after arch_invalidate_secondary_tlbs() for the range has returned`, { mm, vpn, page: entry.page });
    }
    this.before.delete(task);
  }

  /** A frame is freed. */
  freed(page: number): Finding | null {
    for (const tlb of this.m.secondaryTlbs) {
      for (const [vpn, entry] of tlb.entries) {
        if (entry.page !== page) continue;
        const told = tlb.mm.notifiers.some(({ archInvalidateSecondaryTlbs }) => archInvalidateSecondaryTlbs !== undefined);
        const why = told ? "" : ": nobody has subscribed to arch_invalidate_secondary_tlbs(), and its hardware caches translations until the entry is cleared";
        return { kind: "freed-while-mapped", message: `frame ${page} is freed while the TLB of ${tlb.device.name} has it at page ${hex(vpn)}${why}`, about: { page, vpn, mm: tlb.mm.id } };
      }
    }
    return null;
  }

  /** Every subscriber has been told that an address space goes away. */
  released(mm: number): void {
    for (const { bound, device, mm: shared } of this.m.secondaryTlbs) {
      if (shared.id === mm && bound) this.fail(`${device.name} still walks the page table of mm ${mm} after its release(): iommu_sva_unbind_device() was not called`, { mm });
    }
  }

  atRest(): void {
    const { pt, memmap, secondaryTlbs } = this.m;
    for (const { device, mm, entries } of secondaryTlbs) {
      for (const [vpn, { page, write }] of entries) {
        const ptep = mm.pgd < 0 ? -1 : pt.find(mm.pgd, vpn);
        const flags = ptep < 0 ? 0 : pt.flags(ptep);
        const need = PTE.V | PTE.R | (write ? PTE.W : 0);
        if ((flags & need) === need && memmap.pfnToPage(pt.pfnFor(ptep, vpn)) === page) continue;
        this.report({ kind: "stale-tlb", message: `the TLB of ${device.name} has frame ${page} at page ${hex(vpn)} at rest, and the page table has not`, about: { page, vpn, mm: mm.id } });
      }
    }
  }

  private cached(mm: number): Cached[] {
    return this.m.secondaryTlbs.flatMap((tlb) => (tlb.mm.id === mm ? [...tlb.entries].map(([vpn, entry]) => ({ tlb, vpn, entry })) : []));
  }

  private fail(message: string, about: About): void {
    this.report({ kind: "notifier-protocol", message, about });
  }
}

function hex(n: number): string {
  return `0x${n.toString(16)}`;
}
