import { DEFAULT_RELEASE, PATCHES, RELEASES, type Patch } from "@faultline/kernel";
import pc from "picocolors";

const STATUS: Readonly<Record<Patch["status"], string>> = {
  modelled: "modelled",
  "no-effect": "changes nothing",
};

/** A line on each release and each patch. */
export function describePatches(): string {
  const lines = [pc.bold("Releases (--release)")];
  for (const { name, title } of RELEASES) {
    lines.push(`  ${name.padEnd(5)} ${title}${name === DEFAULT_RELEASE ? " (default)" : ""}`);
  }
  const nameWidth = Math.max(...PATCHES.map((p) => p.name.length));
  const statusWidth = Math.max(...Object.values(STATUS).map((s) => s.length));
  lines.push("", pc.bold("Patches (--without), newest first"));
  for (const patch of PATCHES) {
    const status = STATUS[patch.status].padEnd(statusWidth);
    const shown = patch.status === "modelled" ? status : pc.dim(status);
    const note = patch.note === undefined ? "" : pc.dim(` [${patch.note}]`);
    lines.push(`  ${patch.name.padEnd(nameWidth)}  ${shown}  ${patch.title}${note}`);
  }
  return `${lines.join("\n")}\n`;
}
