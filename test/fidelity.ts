import { readFileSync } from "node:fs";
import { join } from "node:path";
import { MAINLINE } from "@faultline/kernel";
import { snakeCase } from "../packages/kernel/src/kernel/ftrace.js";
import { ROOT } from "./points.js";

/*
 * docs/fidelity.md: from what stands beside the code, and from docs/evidence.json, which
 * scripts/evidence.mjs measures.
 *
 * A module says at its top, and a function in its docstring:
 *   @linux PATH...     the file of Linux whose work it does; of modules only
 *   @omits SENTENCE    something that Linux has there, and this does not
 *   @own NAME, ...     functions that Linux does not have by that name; of modules only
 *   @evidence TEXT     where a rule comes from that nothing here compares with Linux
 */

/** What was measured: by kind, for each function up to three runs that reach it, and how many more do. */
export type Evidence = Readonly<Record<string, { readonly runs: readonly string[]; readonly functions: Readonly<Record<string, readonly (string | number)[]>> }>>;

/** Kinds of evidence, strongest first: their codes and what they mean. */
const KINDS = [
  ["selftests", "S", "the kernel's own mm selftests, of 7.3, 6.12 and 6.1, which pass (`docs/selftests.md`)"],
  ["hmm-tests", "H", "the kernel's selftest of HMM, `hmm-tests`"],
  ["difftest", "D", "random operations, compared with the Linux underneath after each (`npm run difftest`)"],
  ["programs", "P", "programs of `programs/` whose whole output is what the same source prints on a Linux"],
  ["reproducer", "R", "the program of the device-exclusive series, beside what real kernels did (`docs/reproducer.md`)"],
  ["scenarios", "c", "scenarios: every order of a race, checked against rules, not against a Linux"],
] as const;

export interface ModuleNotes {
  /** `mm/rmap`. */
  readonly path: string;
  readonly linux: readonly string[];
  readonly omits: readonly string[];
  readonly own: readonly string[];
  readonly functions: readonly FunctionNotes[];
}

export interface FunctionNotes {
  readonly name: string;
  readonly omits: readonly string[];
  readonly evidence: readonly string[];
}

const TAGS = new Set(["linux", "omits", "own", "evidence"]);

/** The tags of a comment with their texts, in order. */
function tagsOf(comment: string): [tag: string, text: string][] {
  const text = comment
    .replace(/^\/\*\*/, "")
    .replace(/\*\/$/, "")
    .replaceAll(/^[ \t]*\* ?/gm, "");
  return text
    .split(/^ *@/m)
    .slice(1)
    .map((part): [string, string] => {
      const [, tag, rest] = /^(\w+)\s*([^]*)$/.exec(part)!;
      return [tag!, rest!.trim().replaceAll(/\s+/g, " ")];
    })
    .filter(([tag]) => TAGS.has(tag));
}

function textsOf(tags: readonly [string, string][], wanted: string): string[] {
  return tags.filter(([tag]) => tag === wanted).map(([, text]) => text);
}

function listOf(tags: readonly [string, string][], wanted: string): string[] {
  return textsOf(tags, wanted).flatMap((text) => text.split(/,\s*/));
}

/** Docstrings of the functions that a module exports, by their names. */
function docstrings(source: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const [, comment, name] of source.matchAll(/(\/\*\*(?:(?!\*\/)[^])*\*\/)\nexport (?:async )?(?:function\*?|const) (\w+)/g)) found.set(name!, comment!);
  return found;
}

/** Where the assembled kernel has its modules from: `rmap` is mm/rmap. */
function modulePaths(): Map<string, string> {
  const source = readFileSync(join(ROOT, "packages/kernel/src/kernel.ts"), "utf8");
  return new Map([...source.matchAll(/^import \* as (\w+) from "\.\/(.+)\.js";$/gm)].map(([, name, path]) => [name!, path!]));
}

/** Every module of the assembled kernel, with what it says of itself. */
export function readNotes(): ModuleNotes[] {
  const paths = modulePaths();
  return Object.entries(MAINLINE).map(([module, members]) => {
    const path = paths.get(module)!;
    const source = readFileSync(join(ROOT, `packages/kernel/src/${path}.ts`), "utf8");
    const head = /^\/\*\*(?:(?!\*\/)[^])*\*\//.exec(source)?.[0] ?? "";
    const tags = tagsOf(head);
    const docs = docstrings(source);
    const functions = Object.entries(members as Readonly<Record<string, unknown>>)
      .filter(([, member]) => typeof member === "function" && !String(member).startsWith("class"))
      .map(([name]) => {
        const own = tagsOf(docs.get(name) ?? "");
        return { name, omits: textsOf(own, "omits"), evidence: textsOf(own, "evidence") };
      });
    return { path, linux: listOf(tags, "linux"), omits: textsOf(tags, "omits"), own: listOf(tags, "own"), functions };
  });
}

export function readEvidence(): Evidence {
  return JSON.parse(readFileSync(join(ROOT, "docs/evidence.json"), "utf8")) as Evidence;
}

/** The codes of what reaches a function. */
function codesOf(evidence: Evidence, path: string, name: string): string {
  return KINDS.filter(([kind]) => evidence[kind]?.functions[`${path}.${name}`] !== undefined)
    .map(([, code]) => code)
    .join("");
}

/** One function, as the page has it. */
interface Entry {
  readonly text: string;
  readonly codes: string;
  readonly own: boolean;
  readonly notes: FunctionNotes;
}

function entriesOf(modules: readonly ModuleNotes[], evidence: Evidence): Entry[] {
  return modules
    .flatMap(({ path, own, functions }) =>
      functions.map((notes) => {
        const isOwn = own.includes(notes.name);
        return { text: isOwn ? `*${snakeCase(notes.name)}*` : `\`${snakeCase(notes.name)}\``, codes: codesOf(evidence, path, notes.name), own: isOwn, notes };
      }),
    )
    .sort((a, b) => (snakeCase(a.notes.name) < snakeCase(b.notes.name) ? -1 : 1));
}

/** How an entry's evidence reads. */
function evidenceText({ codes, notes }: Entry): string {
  const reached = codes === "c" ? "scenarios only" : codes === "" ? "–" : codes.split("").join(" ");
  return [codes === "" && notes.evidence.length > 0 ? [] : [reached], notes.evidence].flat().join("; ");
}

/** Rows of a file's table: functions with something to say by themselves, the others by their evidence. */
function rows(entries: readonly Entry[]): string[] {
  const alike = new Map<string, Entry[]>();
  for (const entry of entries) {
    const alone = entry.notes.omits.length > 0 || entry.notes.evidence.length > 0;
    const key = alone ? `${entry.codes}!${entry.text}` : entry.codes;
    alike.set(key, [...(alike.get(key) ?? []), entry]);
  }
  const strength = (codes: string): number => KINDS.reduce((sum, [, code], i) => sum + (codes.includes(code) ? 1 << (KINDS.length - i) : 0), 0);
  return [...alike.values()]
    .sort(([a], [b]) => strength(b!.codes) - strength(a!.codes))
    .map((group) => `| ${group.map(({ text }) => text).join(", ")} | ${evidenceText(group[0]!)} | ${group[0]!.notes.omits.join(" ")} |`);
}

/** Modules by the file of Linux that each stands for first. */
function byFile(notes: readonly ModuleNotes[]): [file: string, modules: ModuleNotes[]][] {
  const files = new Map<string, ModuleNotes[]>();
  for (const module of notes) {
    const file = module.linux[0] ?? "";
    files.set(file, [...(files.get(file) ?? []), module]);
  }
  return [...files].sort(([a], [b]) => rank(a) - rank(b) || (a < b ? -1 : 1));
}

/** Memory management first. */
const ORDER = ["mm/", "include/", "lib/", "arch/", "fs/", "drivers/", "kernel/", "ipc/"];
function rank(file: string): number {
  return ORDER.findIndex((prefix) => file.startsWith(prefix));
}

function anchor(file: string): string {
  return file.toLowerCase().replaceAll(/[^\w-]/g, "");
}

function summaryRow(file: string, modules: readonly ModuleNotes[], evidence: Evidence): string {
  const entries = entriesOf(modules, evidence);
  const count = (wanted: (entry: Entry) => boolean): number => entries.filter(wanted).length;
  const cells = KINDS.slice(0, -1).map(([, code]) => count(({ codes }) => codes.includes(code)));
  const omissions = modules.reduce((sum, { omits, functions }) => sum + omits.length + functions.reduce((n, fn) => n + fn.omits.length, 0), 0);
  const linked = count(({ codes }) => /[A-Z]/.test(codes));
  return `| [${file}](#${anchor(file)}) | ${entries.length} | ${linked} | ${cells.join(" | ")} | ${count(({ codes }) => codes === "c")} | ${count(({ codes }) => codes === "")} | ${omissions} |`;
}

function section(file: string, modules: readonly ModuleNotes[], evidence: Evidence): string[] {
  const elsewhere = modules.flatMap(({ linux }) => linux.slice(1)).filter((other, i, all) => all.indexOf(other) === i);
  const omits = modules.flatMap((module) => module.omits);
  return [
    `## ${file}`,
    "",
    `${modules.map(({ path }) => `\`${path}.ts\``).join(", ")}${elsewhere.length > 0 ? `; with parts of ${elsewhere.join(", ")}` : ""}.${omits.length > 0 ? " Leaves out:" : " No omission is known."}`,
    "",
    ...omits.map((text) => `- ${text}`),
    ...(omits.length > 0 ? [""] : []),
    "| function | evidence | leaves out |",
    "|---|---|---|",
    ...rows(entriesOf(modules, evidence)),
    "",
  ];
}

/** docs/fidelity.md. */
export function fidelityPage(notes: readonly ModuleNotes[], evidence: Evidence): string {
  const files = byFile(notes);
  const total = notes.reduce((sum, { functions }) => sum + functions.length, 0);
  return [
    "# What can be trusted, and how far",
    "",
    `The ${total} functions that overlays can replace and ftrace shows, by the file of Linux whose work they do: what has`,
    "been compared with a Linux in which each of them ran, and what Linux has there that this leaves out. A function is",
    "written as Linux spells it (`do_anonymous_page` is `doAnonymousPage` here); those *in italics* are no functions of Linux's",
    "by that name: parts that Linux has inlined in others or spread over several, or that only a model needs.",
    "",
    "**Evidence** is measured, not claimed: `node scripts/evidence.mjs` runs what is named here, and notes in `docs/evidence.json`",
    "which functions were called, with up to three of the runs that called each, most specific first. That a function ran in",
    "a comparison which found no difference does not say that each of its branches did.",
    "",
    "| | |",
    "|---|---|",
    ...KINDS.map(([kind, code, meaning]) => `| ${code} | ${meaning}; ${evidence[kind]?.runs.length ?? 0} runs |`),
    "| scenarios only | compared with no Linux; its behaviour is that of documentation, and of what was seen of its callers |",
    "| – | nothing of the above calls it; unit tests may |",
    "",
    "**What is left out** stands beside the code: `@omits` at the top of a module, or in the docstring of a function. What no entry",
    "says is meant to be as on Linux 7.3, and a difference is a bug. System calls have a page of their own, `docs/syscalls.md`.",
    "",
    "After adding or renaming a function: `npx vitest run test/fidelity.test.ts -u`. Evidence need not be measured for that.",
    "",
    "| file | functions | compared with Linux | " + KINDS.slice(0, -1).map(([, code]) => code).join(" | ") + " | scenarios only | – | left out |",
    `|---|${"---:|".repeat(KINDS.length + 4)}`,
    ...files.map(([file, modules]) => summaryRow(file, modules, evidence)),
    "",
    ...files.flatMap(([file, modules]) => section(file, modules, evidence)),
  ].join("\n");
}
