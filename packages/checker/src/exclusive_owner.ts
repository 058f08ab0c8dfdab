import type { Dmirror } from "@faultline/kernel";
import type { About } from "./violation.js";

/**
 * A page that one device holds exclusively is mapped by no other. The CPU's entry does not say which
 * device it is for, so each of two could have its mapping backed by it. `fail` gets each exception.
 */
export function exclusiveOwners(mirrors: readonly Dmirror[], fail: (message: string, about: About) => void): void {
  const owners = new Map<number, Dmirror>();
  for (const mirror of mirrors) for (const [, { page, atomic }] of mirror.table) if (atomic && !owners.has(page)) owners.set(page, mirror);
  for (const mirror of mirrors) {
    for (const [vpn, { page }] of mirror.table) {
      const owner = owners.get(page);
      if (owner === undefined || owner === mirror) continue;
      fail(`${mirror.device.name} maps frame ${page} as well, which ${owner.device.name} holds exclusively`, { page, vpn, mm: mirror.mm.id });
    }
  }
}
