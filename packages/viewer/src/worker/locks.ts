import { Event } from "@faultline/kernel";
import { EVENTS, NameKind, type MemoryState, type Names } from "@faultline/trace";
import type { FolioRequests, LockRef } from "../core/folio_protocol.js";
import { pageOf, placeOf } from "./entries.js";
import type { Inside } from "./inside.js";

type About = FolioRequests["about"]["answer"];

/** The class of locks whose number is a folio, in events of locks. */
const FOLIO_LOCK = "folio_lock";

/** What an event is about: a folio, a lock, a page of an address space. */
export function aboutEvent(names: Names, memory: MemoryState, event: Event, args: readonly number[]): About {
  const info = EVENTS[event]!;
  const at = (wanted: string): number => info.args.findIndex(([, kind]) => kind === wanted);
  const page = at("page");
  const pfn = page >= 0 ? (placeOf(memory, args[page]!)?.pfn ?? null) : event === Event.SetPte && pageOf(memory, args[2]!) >= 0 ? args[2]! : null;
  const [mm, vpn] = [at("mm"), at("vpn")];
  const lock = lockOf(names, memory, event, args);
  return { pfn: pfn ?? (lock?.kind === "folio" ? lock.pfn : null), lock, page: mm >= 0 && vpn >= 0 ? { mm: args[mm]!, vpn: args[vpn]! } : null };
}

function lockOf(names: Names, memory: MemoryState, event: Event, args: readonly number[]): LockRef | null {
  const info = EVENTS[event]!;
  if (event === Event.FolioLock) return folioLock(memory, args[0]!);
  if (info.name.startsWith("mmap_lock")) return { kind: "mmap_lock", mm: args[0]! };
  const [lock, cls] = [info.args.findIndex(([, kind]) => kind === "lock"), info.args.findIndex(([, kind]) => kind === "lockClass")];
  if (lock < 0 || cls < 0) return null;
  const name = names.get(NameKind.LockClass, args[cls]!) ?? "lock";
  return name === FOLIO_LOCK ? folioLock(memory, args[lock]!) : { kind: "lock", id: args[lock]!, name };
}

function folioLock(memory: MemoryState, folio: number): LockRef | null {
  const pfn = placeOf(memory, folio)?.pfn;
  return pfn === undefined ? null : { kind: "folio", pfn };
}

/** The nearest event about a lock, ahead of or behind a step. */
export function nextOnLock({ nearest, names, stateAt }: Inside, lock: LockRef, from: number, forward: boolean): Promise<number | null> {
  const { memory } = stateAt(0).keyframe;
  return nearest(from, forward, (_step, _time, _executor, _task, event, args) => {
    const own = lockOf(names, memory, event, args);
    if (own === null) return false;
    switch (lock.kind) {
      case "folio":
        return own.kind === "folio" && own.pfn === lock.pfn;
      case "mmap_lock":
        return own.kind === "mmap_lock" && own.mm === lock.mm;
      case "lock":
        return own.kind === "lock" && own.id === lock.id;
    }
  });
}
