import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { EVENTS } from "../src/index.js";

const PAGE = fileURLToPath(new URL("../../../docs/traces.md", import.meta.url));
const BEGIN = "<!-- events: made from packages/trace/src/schema.ts by `npx vitest run packages/trace/test/docs.test.ts -u` -->\n";

function tables(): string {
  const row = ({ name, args, doc }: (typeof EVENTS)[number]): string =>
    `| \`${name}\` | ${args.map(([arg]) => `\`${arg}\``).join(", ")} | ${doc.replaceAll("|", "\\|")} |`;
  const section = (title: string, system: (name: string) => boolean): string[] => [
    title,
    "",
    "| event | arguments | what |",
    "|---|---|---|",
    ...EVENTS.filter((info) => system(info.system)).map(row),
    "",
  ];
  return [
    ...section("Events that Linux has, with its names and its text:", (system) => system !== "faultline"),
    ...section("Events of our own:", (system) => system === "faultline"),
  ].join("\n");
}

test("docs/traces.md lists the events of the table", async () => {
  const page = readFileSync(PAGE, "utf8");
  const at = page.indexOf(BEGIN);
  expect(at).toBeGreaterThan(0);
  await expect(`${page.slice(0, at)}${BEGIN}\n${tables()}`).toMatchFileSnapshot(PAGE);
});
