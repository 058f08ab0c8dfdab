import type { Kind } from "./operations.js";
import type { View } from "./output.js";

/** A difference from Linux that is known, and why it stays. docs/differences.md is made of these. */
export interface Rule {
  readonly operation: Kind;
  /** `result`, `files`, `pool`, `mincore`, `pagemap`, `mappings`, or a field of smaps. */
  readonly field: string;
  readonly reason: string;
  /** Whether it can be so, for what the process's address space is on either side. */
  readonly holds: (view: View) => boolean;
}

/** At most twenty: what is more than that is not known, but wrong. */
export const RULES_MAX = 20;

/** Whether 2 MiB are mapped as one. */
function hasHugeEntry({ mappings }: View): boolean {
  return mappings.some(({ fields }) => ["AnonHugePages", "ShmemPmdMapped", "FilePmdMapped"].some((name) => fields[name] !== undefined));
}

const READ_BY_PMD = "where 2 MiB are mapped as one, x86_64 notes that they were used only when they are written to, and what is locked may be for reading alone";

export const RULES: readonly Rule[] = [
  { operation: "mlock", field: "Referenced", reason: READ_BY_PMD, holds: hasHugeEntry },
  { operation: "mlock2", field: "Referenced", reason: READ_BY_PMD, holds: hasHugeEntry },
];

/** What lists of operations never have, because two Linuxes of two releases, or on two processors, would differ in it. */
export const LEFT_OUT: readonly { readonly what: string; readonly reason: string }[] = [
  { what: "PROT_EXEC alone", reason: "x86_64 lets such memory be read unless it has protection keys; riscv64 does not" },
  { what: "PAGE_IS_WRITTEN", reason: "since 7.3 PAGEMAP_SCAN says it only of memory that a userfaultfd has for write protection; hosts are older" },
  { what: "UFFDIO_REGISTER without UFFDIO_REGISTER_MODE_WP of what has been registered with it", reason: "since 7.3 it answers EBUSY; hosts are older" },
  { what: "process_vm_readv(), process_vm_writev() and MADV_POPULATE_READ where 2 MiB are mapped as one", reason: "x86_64 notes in such an entry that it was used only when it was written through" },
  { what: "process_vm_readv() within a page, over what it has yet to read", reason: "how many bytes are read ahead depends on the processor" },
  { what: "read() and write() of a page of a file to or from itself, less than 64 bytes ahead", reason: "how many bytes are read before the first of them is written depends on the processor" },
  { what: "MADV_GUARD_INSTALL where files and a userfaultfd are", reason: "over a mark of write protection in a mapping of a file Linux 6.18 tries again for ever" },
  { what: "clear_refs of accessed bits", reason: "it flushes no TLB, and what a CPU has still cached sets no bit" },
  { what: "MADV_HWPOISON and MADV_SOFT_OFFLINE", reason: "the host would lose the memory" },
  { what: "where a mapping lies that says nothing of it", reason: "address spaces are of other sizes, and laid out by chance" },
];

/** docs/differences.md. */
export function differencesPage(): string {
  const rows = RULES.map(({ operation, field, reason }) => `| ${operation} | ${field} | ${reason} |`);
  return [
    "# Known differences from Linux",
    "",
    "`npm run difftest` does random operations on the Linux underneath and on a machine, and compares results, errnos,",
    "contents, mincore, pagemap and smaps after each. This page is made from the list of differences that it lets",
    "pass, in `packages/cli/src/difftest/rules.ts`; `npx vitest run packages/cli/test/difftest.test.ts -u` makes it anew.",
    "",
    ...(rows.length === 0 ? ["No difference is let pass."] : ["| operation | field | why |", "|---|---|---|", ...rows]),
    "",
    "What is left out, because two Linuxes of two releases, or on two processors, differ in it:",
    "",
    ...LEFT_OUT.map(({ what, reason }) => `- ${what}: ${reason}.`),
    "",
    "What a host does not have is not compared, and the run says so. Hosts older than the kernel that is modelled are",
    "not compared at all unless `--any-host` asks for it: the differences would be those of the releases.",
    "",
    "Of the kernel's own selftests, [selftests.md](selftests.md) has those that print something else here, and why.",
    "",
  ].join("\n");
}
