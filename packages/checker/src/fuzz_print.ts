import { Expectations, SETUP } from "./fuzz_expect.js";
import { LARGE_PAGES } from "./fuzz_generate.js";
import { accessText, isOther, performText } from "./fuzz_operations.js";
import { covers, drops, type Operation, type Program, type WordOperation } from "./fuzz_program.js";
import { COUNTER, threadName } from "./fuzz_scenario.js";

/** Notes above the scenario: what it is, and how it was found. */
export interface PrintOptions {
  readonly title: string;
  readonly notes: readonly string[];
}

/** A program as the module of a scenario, which runs just as it does. */
export function printProgram(program: Program, options: PrintOptions): string {
  return new Printer(program, options).text();
}

class Printer {
  private readonly expectations: Expectations;
  /** Statements have been numbered up to here. */
  private n = 0;

  constructor(
    private readonly program: Program,
    private readonly options: PrintOptions,
  ) {
    this.expectations = new Expectations(program);
  }

  text(): string {
    const { cpus, devices, swapSlots } = this.program;
    const body = [
      ...this.notes(),
      "export default scenario({",
      `  title: ${JSON.stringify(this.options.title)},`,
      `  machine: { cpus: ${cpus}, devices: ${devices}, swapSlots: ${swapSlots} },`,
      "",
      "  *setup(t) {",
      ...indent(2, this.setup()),
      "  },",
      "",
      "  threads: {",
      ...this.program.threads.flatMap((_, i) => this.thread(i)),
      "  },",
      ...this.check(),
      "});",
    ].join("\n");
    const kernel = ["Madv", "Prot"].filter((name) => body.includes(`${name}.`));
    const imports = ['import { scenario } from "@faultline/checker";', ...(kernel.length === 0 ? [] : [`import { ${kernel.join(", ")} } from "@faultline/kernel";`])];
    return `${[...imports, "", body].join("\n")}\n`;
  }

  private notes(): string[] {
    return ["/**", ...this.options.notes.map((line) => ` * ${line}`.trimEnd()), " */"];
  }


  private setup(): string[] {
    const { pages, large, populated, setup, watched } = this.program;
    const lines: string[] = [];
    if (large) {
      lines.push('t.k.m.thp.setSizeEnabled(2, "always");');
      lines.push(`const mapped = yield* t.mmap(${2 * LARGE_PAGES});`);
      lines.push(`const a = Math.ceil(mapped / ${4096 * LARGE_PAGES}) * ${4096 * LARGE_PAGES};`);
    } else lines.push(`const a = yield* t.mmap(${pages});`);
    for (let page = 1; page < pages; page++) lines.push(`const ${letter(page)} = a + ${page} * 4096;`);
    const moved = populated.map((_, page) => this.isMoved(page));
    for (let page = 0; page < pages; page++) {
      if (!populated[page]!) continue;
      lines.push(`yield* t.store32(${letter(page)}, 2 ** ${Math.log2(COUNTER)});`);
      if (moved[page]!) lines.push(`const ${letter(page)}Frame = t.frameOf(${letter(page)});`);
    }
    const names = Array.from({ length: pages }, (_, page) => letter(page));
    names.push(...names.filter((_, page) => moved[page]!).map((name) => `${name}Frame`));
    if (watched !== null) {
      const counter = watched.word === 0 && populated[watched.page]!;
      lines.push(`const s = { ${names.join(", ")}, expected: ${counter ? `2 ** ${Math.log2(COUNTER)}` : "0"}, wrong: "" };`);
    } else lines.push(`const s = { ${names.join(", ")} };`);
    setup.forEach((op, at) => lines.push(...this.statements(op, SETUP, at).now));
    lines.push("return s;");
    return lines;
  }

  private isMoved(page: number): boolean {
    return this.program.threads.some(({ operations }) => operations.some((op) => (op.kind === "migrate" || op.kind === "offline") && op.page === page));
  }

  private thread(i: number): string[] {
    const { on, operations } = this.program.threads[i]!;
    const where = "cpu" in on ? `{ cpu: ${on.cpu} }` : `{ device: ${on.device} }`;
    const statements = operations.map((op, at) => this.statements(op, i, at));
    const lines = [...statements.flatMap(({ now }) => now), ...statements.flatMap(({ atEnd }) => atEnd)];
    const s = lines.some((line) => /\bs\./.test(line)) ? "t, s" : "t";
    return [`    ${threadName(this.program, i)}: {`, `      on: ${where},`, `      *run(${s}) {`, ...indent(4, lines), "      },", "    },"];
  }

  private statements(op: Operation, thread: number, at: number): { now: string[]; atEnd: string[] } {
    const address = (page: number): string => `s.${letter(page)}`;
    if (!isOther(op)) return { now: this.access(op, thread, at, address(op.page)), atEnd: [] };
    const { now, atEnd } = performText(op, address, (page) => `s.${letter(page)}Frame`, this.n++);
    const { watched } = this.program;
    const zeroes = watched !== null && drops(op) && !(op.kind === "madvise" && op.advice === "FREE") && covers(op, watched.page);
    return { now: zeroes && (thread === SETUP || thread === watched.word - 1) ? [...now, "s.expected = 0;"] : now, atEnd };
  }

  private access(op: WordOperation, thread: number, at: number, address: string): string[] {
    const { watched } = this.program;
    const { call, done } = accessText(op, this.expectations.mayFault(op.page), address);
    if (watched === null || watched.page !== op.page || watched.word !== op.word) return [`${call};`];
    const { allowed, zero } = this.expectations.of(thread, at, op);
    const stores = op.kind === "store" || op.kind === "device-store";
    const looks = !stores && op.word !== 0;
    if (done === null) {
      if (!looks) return [`${call};`, this.update(op, "")];
      const seen = `seen${this.n++}`;
      return [`const ${seen} = ${call};`, ...this.compare(seen, zero), this.update(op, seen)];
    }
    const seen = `seen${this.n++}`;
    const condition = done(seen);
    if (allowed === false) return [`const ${seen} = ${call};`, `if (${condition}) s.wrong ||= "a ${op.kind} goes through that is not allowed";`];
    const then = [...(looks ? this.compare(seen, zero) : []), this.update(op, seen)];
    const otherwise = allowed === true ? [`else s.wrong ||= "a signal is raised where the access is allowed";`] : [];
    if (then.length === 1) return [`const ${seen} = ${call};`, `if (${condition}) ${then[0]!}`, ...otherwise];
    const close = otherwise.length === 0 ? ["}"] : [`} ${otherwise[0]!}`];
    return [`const ${seen} = ${call};`, `if (${condition}) {`, ...indent(1, then), ...close];
  }

  /** What the word must be from now on. */
  private update({ kind, word, value }: WordOperation, seen: string): string {
    if (kind === "store" || kind === "device-store") return `s.expected = ${value};`;
    if (kind === "load" || kind === "device-load") return `s.expected = ${seen};`;
    return word === 0 ? `s.expected += ${value};` : `s.expected = ${seen} + ${value};`;
  }

  private compare(seen: string, zero: boolean): string[] {
    const condition = `${seen} !== s.expected${zero ? ` && ${seen} !== 0` : ""}`;
    return [`if (${condition}) s.wrong ||= \`the word is \${${seen}} instead of \${s.expected}${zero ? " or 0" : ""}\`;`];
  }

  private check(): string[] {
    const { watched, pages } = this.program;
    if (watched === null) return [];
    const { page, word } = watched;
    const lines = ['if (s.wrong !== "") return s.wrong;'];
    if (word > 0 || this.expectations.countsExactly(page)) {
      if (this.expectations.protects) lines.push(`yield* t.mprotect(s.a, ${pages}, Prot.READ | Prot.WRITE);`);
      const zero = word > 0 && this.expectations.endsZero(word - 1, page, word);
      const address = `s.${letter(page)}${word === 0 ? "" : ` + ${4 * word}`}`;
      lines.push(`const seen = yield* t.tryLoad32(${address});`);
      lines.push(`if (seen === null || seen === s.expected${zero ? " || seen === 0" : ""}) return null;`);
      lines.push(`return \`the word is \${seen} instead of \${s.expected}${zero ? " or 0" : ""}\`;`);
    } else lines.push("return null;");
    return ["", "  *check(t, s) {", ...indent(2, lines), "  },"];
  }
}

/** Pages have letters. */
function letter(page: number): string {
  return String.fromCharCode(97 + page);
}

function indent(levels: number, lines: readonly string[]): string[] {
  return lines.map((line) => "  ".repeat(levels) + line);
}
