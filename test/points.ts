import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** A function of the engine, as the source has it. */
export interface FunctionFacts {
  /** `mm/rmap.ts: tryToUnmapOne`, `riscv/abi/…` outside the kernel; a nested one behind the one it stands in, with a slash. */
  readonly name: string;
  readonly generator: boolean;
  /** Shared accesses in its own body, nested functions not counted, as source text. */
  readonly accesses: readonly string[];
  /** Points in its own body: announcements, lock operations, and calls of generators, which have their own. */
  readonly points: number;
}

/** All TypeScript sources below a directory. */
export function sourcesBelow(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true, recursive: true })
    .filter((f) => f.isFile() && f.name.endsWith(".ts"))
    .map((f) => join(f.parentPath, f.name))
    .sort();
}

/*
 * What another CPU or a device can observe or change, by the name it is reached by. Each is a
 * receiver (the last identifier before the member) and its members.
 */
const SHARED: Readonly<Record<string, readonly string[]>> = {
  pt: ["flags", "pfn", "same", "isNone", "set", "clear", "child", "setChild", "lookup", "words"],
  memmap: ["has", "set", "clear", "isAnon", "folioMapcount", "refcount", "mapcount", "flags", "mapping", "index", "private"],
  swap: ["count", "cache", "allocate", "release"],
  tlb: ["fill", "flushPage", "flushRange", "flushAll"],
  table: ["get", "set", "delete", "clear", "invalidate"],
  zone: ["takeBlock", "freeBlock"],
  ram: ["words", "bytes", "view", "frame", "copy"],
  vma: ["lockSeq", "readers", "detached"],
  mm: ["lockSeq", "invalidateSeq", "activeInvalidations", "intervals", "cpumask"],
  notifier: ["invalidateSeq"],
  bucket: ["waiters"],
  source: ["waiters"],
  waiter: ["key", "woken"],
  process: ["exitStatus", "leaderStatus", "zombie", "threads", "children", "sharedPending", "realTimer"],
};

/** Calls that are points themselves. */
const POINT_CALLS = new Set(["point", "tryLock", "tryUnlock", "tryRead", "tryWrite"]);

export function functionsOf(path: string): FunctionFacts[] {
  const source = ts.createSourceFile(path, readFileSync(path, "utf8"), ts.ScriptTarget.Latest, true);
  const facts: FunctionFacts[] = [];
  const file = relative(join(ROOT, "packages"), path).replace("/src/", "/").replace(/^kernel\//, "");
  const collect = (fn: ts.FunctionLikeDeclaration, outer: string): void => {
    const name = `${outer}${nameOf(fn)}`;
    const accesses: string[] = [];
    let points = 0;
    const visit = (node: ts.Node): void => {
      if (isFunction(node)) return collect(node, `${name}/`);
      if (ts.isYieldExpression(node) && node.asteriskToken !== undefined) points++;
      if (ts.isCallExpression(node) && POINT_CALLS.has(memberOf(node.expression) ?? "")) points++;
      if (ts.isPropertyAccessExpression(node)) {
        const receiver = receiverOf(node.expression);
        if (receiver !== null && Object.hasOwn(SHARED, receiver) && SHARED[receiver]!.includes(node.name.text)) accesses.push(node.getText(source));
      }
      ts.forEachChild(node, visit);
    };
    if (fn.body !== undefined) visit(fn.body);
    facts.push({ name: `${file}: ${name}`, generator: "asteriskToken" in fn && fn.asteriskToken !== undefined, accesses, points });
  };
  const top = (node: ts.Node): void => {
    if (isFunction(node)) collect(node, "");
    else ts.forEachChild(node, top);
  };
  top(source);
  return facts;
}

function isFunction(node: ts.Node): node is ts.FunctionLikeDeclaration {
  return (
    ts.isFunctionDeclaration(node) ||
    ts.isFunctionExpression(node) ||
    ts.isArrowFunction(node) ||
    ts.isMethodDeclaration(node) ||
    ts.isConstructorDeclaration(node) ||
    ts.isAccessor(node)
  );
}

function nameOf(fn: ts.FunctionLikeDeclaration): string {
  if (ts.isConstructorDeclaration(fn)) return `${classOf(fn)}constructor`;
  if (fn.name !== undefined) return `${classOf(fn)}${fn.name.getText()}`;
  const { parent } = fn;
  if (ts.isVariableDeclaration(parent) || ts.isPropertyAssignment(parent)) return parent.name.getText();
  return "(anonymous)";
}

function classOf(fn: ts.Node): string {
  return ts.isClassDeclaration(fn.parent) && fn.parent.name !== undefined ? `${fn.parent.name.text}.` : "";
}

function memberOf(expression: ts.Expression): string | null {
  return ts.isPropertyAccessExpression(expression) ? expression.name.text : null;
}

/** `m.pt` and `pt` are `pt`; `this.k.m.swap` is `swap`. */
function receiverOf(expression: ts.Expression): string | null {
  if (ts.isIdentifier(expression)) return expression.text;
  return memberOf(expression);
}
