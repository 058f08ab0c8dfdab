import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseElf, ScenarioGuests } from "../../riscv/src/index.js";
import type { Guests, Scenario } from "../src/index.js";

const SCENARIOS = fileURLToPath(new URL("../../../scenarios/", import.meta.url));

/** What runs the programs of a scenario that stands in scenarios/, or could. */
export function guestsOf({ threads }: Scenario): Guests {
  const files = Object.values(threads).flatMap((thread) => ("elf" in thread ? [thread.elf] : []));
  return new ScenarioGuests(
    new Map(
      files.map((file) => {
        const bytes = readFileSync(join(SCENARIOS, file));
        return [file, { bytes, image: parseElf(bytes) }];
      }),
    ),
  );
}
