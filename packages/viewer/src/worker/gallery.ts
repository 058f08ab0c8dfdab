import type { Scenario } from "@faultline/checker";
import { PATCHES, RELEASES } from "@faultline/kernel";
import type { Gallery } from "../core/protocol.js";

/* The scenarios and programs that are built into the site. */

const SCENARIOS = import.meta.glob<Scenario>("../../../../scenarios/*.ts", { import: "default", eager: true });
const PROGRAMS = import.meta.glob<string>("../../../../programs/prebuilt/*", { query: "?url", import: "default", eager: true });

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1).replace(/\.ts$/, "");
}

export function gallery(): Gallery {
  const scenarios = Object.entries(SCENARIOS).map(([path, { title }]) => ({ name: nameOf(path), title }));
  return {
    scenarios,
    programs: Object.keys(PROGRAMS).map(nameOf),
    releases: RELEASES.map(({ name }) => name),
    patches: PATCHES.filter(({ undo }) => undo !== undefined).map(({ name, title }) => ({ name, title })),
  };
}

export function scenarioNamed(name: string): Scenario | undefined {
  return Object.entries(SCENARIOS).find(([path]) => nameOf(path) === name)?.[1];
}

/** A program's file; null where there is none of that name. */
export async function programNamed(name: string): Promise<Uint8Array | null> {
  const url = Object.entries(PROGRAMS).find(([path]) => nameOf(path) === name)?.[1];
  if (url === undefined) return null;
  const response = await fetch(url);
  return response.ok ? new Uint8Array(await response.arrayBuffer()) : null;
}

/** The programs that are threads of a scenario, by the names it has for them. */
export async function programsOf({ threads }: Scenario): Promise<Map<string, Uint8Array>> {
  const programs = new Map<string, Uint8Array>();
  for (const thread of Object.values(threads)) {
    if (!("elf" in thread) || programs.has(thread.elf)) continue;
    const bytes = await programNamed(nameOf(thread.elf));
    if (bytes !== null) programs.set(thread.elf, bytes);
  }
  return programs;
}
