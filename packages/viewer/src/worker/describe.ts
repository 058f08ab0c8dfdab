import { Errno, type Event } from "@faultline/kernel";
import { EVENTS, NameKind, type ArgKind, type Names } from "@faultline/trace";
import type { EventRow } from "../core/protocol.js";

/** An event as it stands in a list. Names are the trace's own: text, whatever they look like. */
export function describeEvent(names: Names, step: number, time: number, executor: number, task: number, event: Event, args: readonly number[]): EventRow {
  const info = EVENTS[event]!;
  const words = info.args.map(([name, kind], i) => `${name}=${argument(names, name, kind, args[i] ?? 0)}`);
  const [first, kind] = info.args[0] ?? ["", "int"];
  const isCall = kind === "function" || kind === "syscall";
  return {
    step,
    time,
    ...eventPlace(names, executor, task),
    name: isCall ? `${argument(names, first, kind, args[0] ?? 0)}${kind === "function" ? "()" : ""}` : info.name,
    text: kind === "function" ? (info.name === "funcgraph_entry" ? "enters" : "leaves") : isCall ? `${info.name} ${words.slice(1).join(" ")}` : words.join(" "),
    explain: kind === "function" ? `function ${argument(names, first, kind, args[0] ?? 0)}` : `event ${info.name}`,
  };
}

/** Where something happens, and who does it. */
export function eventPlace(names: Names, executor: number, task: number): { readonly where: string; readonly task: string } {
  return { where: names.get(NameKind.Executor, executor) ?? `executor ${executor}`, task: task === 0 ? "idle" : `${names.get(NameKind.Task, task) ?? "task"} [${task}]` };
}

function argument(names: Names, name: string, kind: ArgKind, value: number): string {
  const named = (of: NameKind): string => names.get(of, value) ?? String(value);
  switch (kind) {
    case "vpn":
      return `0x${(value * 4096).toString(16)}`;
    case "raw":
      if (name === "ret" && value < 0 && Errno[-value] !== undefined) return `-${Errno[-value]!}`;
      return value >= 4096 ? `0x${value.toString(16)}` : String(value);
    case "pid":
      return value === 0 ? "0" : `${names.get(NameKind.Task, value) ?? "task"}[${value}]`;
    case "executor":
      return named(NameKind.Executor);
    case "device":
      return named(NameKind.Device);
    case "lockClass":
      return named(NameKind.LockClass);
    case "function":
      return named(NameKind.Function);
    case "syscall":
      return named(NameKind.Syscall);
    case "int":
      return name === "flags" || name === "pfn" || name === "gfp" ? `0x${(value >>> 0).toString(16)}` : String(value);
    case "page":
    case "mm":
    case "ptep":
    case "lock":
      return String(value);
  }
}

/** Whether an event is about a page of an address space: names its vpn, or a range that has it. */
export function touches(event: Event, args: readonly number[], mm: number, vpn: number): boolean {
  const info = EVENTS[event]!;
  const at = (wanted: ArgKind): number => info.args.findIndex(([, kind]) => kind === wanted);
  const own = at("mm");
  if (own >= 0 && args[own] !== mm) return false;
  if (info.name.startsWith("page_fault")) return Math.floor(args[0]! / 4096) === vpn;
  const first = at("vpn");
  if (first < 0) return false;
  return info.args[first + 1]?.[1] === "vpn" ? vpn >= args[first]! && vpn < args[first + 1]! : args[first] === vpn;
}
