import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { SYSCALLS } from "../src/index.js";

/** docs/syscalls.md, made from the table. */
function page(): string {
  const calls = [...SYSCALLS];
  const handled = calls.filter(([, call]) => call.handler !== null);
  const refused = calls.filter(([, call]) => call.handler === null);
  return [
    "# System calls",
    "",
    `Of Linux's riscv64 system calls, ${handled.length} are there. Others return \`ENOSYS\`, and the kernel log`,
    "(`--dmesg`) names each the first time. This page is made from the table in",
    "`packages/riscv/src/abi/syscalls/`; `npx vitest run packages/riscv/test/syscalls.test.ts -u` makes it anew.",
    "",
    "| number | call | known differences from Linux |",
    "|---:|---|---|",
    ...handled.map(([number, call]) => `| ${number} | \`${call.name}\` | ${call.limits} |`),
    "",
    "Known by name (for `--strace`), and not there yet: " + refused.map(([, call]) => `\`${call.name}\``).join(", ") + ".",
    "",
  ].join("\n");
}

test("docs/syscalls.md says what the table says", async () => {
  await expect(page()).toMatchFileSnapshot(fileURLToPath(new URL("../../../docs/syscalls.md", import.meta.url)));
});

test("the table is in order, and names no call twice", () => {
  const numbers = [...SYSCALLS.keys()];
  expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
  const names = [...SYSCALLS.values()].map((call) => call.name);
  expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
});
