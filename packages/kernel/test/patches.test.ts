import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, test } from "vitest";
import {
  MAINLINE,
  MapFlag,
  PATCHES,
  PTE,
  Prot,
  RELEASES,
  resolvePatches,
  swapType,
  type Kernel,
  type MaySleep,
  type Mm,
} from "../src/index.js";
import { Dmirror } from "../src/index.js";
import { makeKernel, runTask } from "./harness.js";

const SRC = join(dirname(fileURLToPath(import.meta.url)), "../src");

function parse(file: string): ts.SourceFile {
  return ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.ES2022, true);
}

/** Where each module of the assembled kernel lives: the imports of kernel.ts. */
function moduleFiles(): Map<string, string> {
  const files = new Map<string, string>();
  for (const node of parse(join(SRC, "kernel.ts")).statements) {
    if (!ts.isImportDeclaration(node) || !ts.isStringLiteral(node.moduleSpecifier)) continue;
    const bindings = node.importClause?.namedBindings;
    if (bindings === undefined || !ts.isNamespaceImport(bindings)) continue;
    files.set(bindings.name.text, join(SRC, node.moduleSpecifier.text.replace(/\.js$/, ".ts")));
  }
  return files;
}

/** A short hash of a declaration's code, comments and white space apart. */
function fingerprint(file: string, name: string): string {
  for (const node of parse(file).statements) {
    const named =
      (ts.isFunctionDeclaration(node) && node.name?.text === name) ||
      (ts.isVariableStatement(node) && node.declarationList.declarations.some((d) => d.name.getText() === name));
    if (!named) continue;
    const code = ts.createPrinter({ removeComments: true }).printNode(ts.EmitHint.Unspecified, node, node.getSourceFile());
    return createHash("sha256").update(code.replace(/\s+/g, " ")).digest("hex").slice(0, 12);
  }
  throw new Error(`${file} has no ${name}`);
}

test("what an overlay replaces has not changed under it", () => {
  // When this fails: read the function and the overlay again, mend the overlay, then `vitest -u`.
  const files = moduleFiles();
  const fingerprints: Record<string, string> = {};
  for (const patch of PATCHES) {
    for (const [module, functions] of Object.entries(patch.undo?.(MAINLINE) ?? {})) {
      for (const name of Object.keys(functions)) {
        fingerprints[`${patch.name}: ${module}.${name}`] = fingerprint(files.get(module)!, name);
      }
    }
  }
  expect(fingerprints).toMatchSnapshot();
});

test("overlays can be written with what the package exports", () => {
  // Those of patches/ stand for the users' own, which have nothing but the package to import from.
  const exported = parse(join(SRC, "index.ts")).statements.flatMap((node) => {
    if (!ts.isExportDeclaration(node) || node.exportClause === undefined || !ts.isNamedExports(node.exportClause)) return [];
    return node.exportClause.elements.map((e) => e.name.text);
  });
  const files = readdirSync(join(SRC, "patches")).filter((file) => !["index.ts", "patch.ts"].includes(file));
  const missing = files.flatMap((file) =>
    parse(join(SRC, "patches", file)).statements.flatMap((node) => {
      // What another file of patches has is as the user's own.
      const imports = ts.isImportDeclaration(node) && !(ts.isStringLiteral(node.moduleSpecifier) && node.moduleSpecifier.text.startsWith("./"));
      const bindings = imports ? node.importClause?.namedBindings : undefined;
      if (bindings === undefined || !ts.isNamedImports(bindings)) return [];
      return bindings.elements.map((e) => e.name.text).filter((name) => !exported.includes(name));
    }),
  );
  expect(missing).toEqual([]);
});

describe("resolvePatches", () => {
  test("every release can be made", () => {
    for (const release of RELEASES) expect(resolvePatches({ release: release.name, without: [] })).toBeInstanceOf(Array);
  });

  test("says what is wrong with a wish", () => {
    expect(resolvePatches({ release: "5.0", without: [] })).toMatch(/^unknown release '5.0'/);
    expect(resolvePatches({ release: "7.3", without: ["nonsense"] })).toMatch(/^unknown patch 'nonsense'/);
    expect(resolvePatches({ release: "7.3", without: ["mkclean-exclusive"] })).toMatch(/changes nothing/);
    expect(resolvePatches({ release: "7.3", without: ["exclusive-folio-walk"] })).toMatch(/--without exclusive-mapcount/);
  });
});

/** Maps `pages` pages, writes them, and makes them exclusive; what came of it, and the entry's type. */
function* exclusive(
  k: Kernel,
  mm: Mm,
  pages: number,
  spoil: (addr: number) => MaySleep<unknown>,
): MaySleep<{ result: number; type: number; addr: number; dmirror: Dmirror }> {
  const flags = MapFlag.PRIVATE | MapFlag.ANONYMOUS;
  const addr = yield* k.mmap.doMmap(k, mm, 0, pages * 4096, Prot.READ | Prot.WRITE, flags, null, 0);
  for (let i = 0; i < pages; i++) yield* k.uaccess.putUser32(k, addr + i * 4096, i + 1);
  yield* spoil(addr);
  const dmirror = new Dmirror(k, k.testHmm.initTestHmm(k, 1)[0]!, mm);
  yield* k.mmuNotifier.intervalInsert(k, dmirror.notifier);
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  const result = yield* k.testHmm.dmirrorMakeExclusive(k, dmirror, addr / 4096, addr / 4096 + pages);
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  const ptep = k.m.pt.lookup(mm.pgd, addr / 4096);
  return { result, type: swapType(k.m.pt.flags(ptep)), addr, dmirror };
}

function* nothing(): MaySleep<void> {
  yield* [];
}

function kernelOf(release: string, without: string[] = []): Kernel {
  const overlays = resolvePatches({ release, without });
  if (typeof overlays === "string") throw new Error(overlays);
  return makeKernel({ overlays });
}

describe("the device-exclusive series, patch by patch", () => {
  test("a range that is partly read-only fails with EFAULT, and with EBUSY before", () => {
    const attempt = (k: Kernel): number =>
      runTask(k, function* (mm) {
        const spoil = (addr: number): MaySleep<unknown> => k.mprotect.doMprotect(k, mm, addr + 4096, 4096, Prot.READ);
        return (yield* exclusive(k, mm, 4, spoil)).result;
      });
    expect(attempt(kernelOf("7.3"))).toBe(-14);
    expect(attempt(kernelOf("7.3", ["exclusive-single-page"]))).toBe(-16);
    expect(attempt(kernelOf("6.14"))).toBe(-16);
    expect(attempt(kernelOf("6.1"))).toBe(-16);
  });

  test("the entry's type is 30, and 29 while there were two", () => {
    const type = (k: Kernel): number =>
      runTask(k, function* (mm) {
        return (yield* exclusive(k, mm, 1, nothing)).type;
      });
    expect(type(kernelOf("7.3"))).toBe(30);
    expect(type(kernelOf("6.14"))).toBe(29);
  });

  test("the map count of an exclusive page is 1, and 0 before", () => {
    const mapcount = (k: Kernel): number =>
      runTask(k, function* (mm) {
        const { dmirror } = yield* exclusive(k, mm, 1, nothing);
        return k.m.memmap.mapcount[[...dmirror.table][0]![1].page]!;
      });
    expect(mapcount(kernelOf("7.3"))).toBe(1);
    expect(mapcount(kernelOf("7.3", ["exclusive-mapcount"]))).toBe(0);
    expect(mapcount(kernelOf("6.14"))).toBe(0);
  });

  test.each(["7.3", "6.14", "6.1"])("%s: a restored page is writable again, unless mprotect came between", (release) => {
    const k = kernelOf(release);
    const writable = runTask(k, function* (mm) {
      const { addr } = yield* exclusive(k, mm, 2, nothing);
      yield* k.mprotect.doMprotect(k, mm, addr + 4096, 4096, Prot.READ);
      for (const page of [0, 1]) yield* k.uaccess.getUser32(k, addr + page * 4096);
      const bit = (page: number): boolean => (k.m.pt.flags(k.m.pt.lookup(mm.pgd, addr / 4096 + page)) & PTE.W) !== 0;
      const store = yield* k.uaccess.putUser32(k, addr + 4096, 0);
      return { first: bit(0), second: bit(1), store };
    });
    expect(writable).toEqual({ first: true, second: false, store: -14 });
  });
});
