import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Plugin } from "vite";

/** What stands beside the code of a kernel function: a sentence, and the file of Linux whose work its module does. */
export type FunctionDocs = Readonly<Record<string, readonly [sentence: string, file: string]>>;

const KERNEL = fileURLToPath(new URL("../kernel/src/", import.meta.url));
const ID = "virtual:function-docs";

/** As the kernel spells it: kernel/src/kernel/ftrace.ts names functions so. */
function snakeCase(name: string): string {
  return name.replaceAll(/([a-z\d])([A-Z])/g, "$1_$2").toLowerCase();
}

/** The first sentence of a docstring without its tags. */
export function firstSentence(comment: string): string {
  const text = comment
    .replace(/^\/\*\*/, "")
    .replace(/\*\/\s*$/, "")
    .replaceAll(/^[ \t]*\* ?/gm, "")
    .split(/^ *@/m)[0]!
    .trim()
    .replaceAll(/\s+/g, " ");
  return /^.*?[.](?= [A-Z`"]|$)/.exec(text)?.[0] ?? text;
}

/** The sentences of all functions of the assembled kernel that have one, by their names in Linux. */
export function functionDocs(): FunctionDocs {
  const docs: Record<string, readonly [string, string]> = {};
  const kernel = readFileSync(`${KERNEL}kernel.ts`, "utf8");
  for (const [, path] of kernel.matchAll(/^import \* as \w+ from "\.\/(.+)\.js";$/gm)) {
    const source = readFileSync(`${KERNEL}${path}.ts`, "utf8");
    const file = /^ \* @linux (\S+)/m.exec(source)?.[1] ?? "";
    for (const [, comment, name] of source.matchAll(/(\/\*\*(?:(?!\*\/)[^])*\*\/)\nexport (?:async )?function\*? (\w+)/g)) {
      const sentence = firstSentence(comment!);
      if (sentence !== "") docs[snakeCase(name!)] = [sentence, file];
    }
  }
  return docs;
}

/** Makes the table when the site is built: `virtual:function-docs`. */
export function functionDocsPlugin(): Plugin {
  return {
    name: "function-docs",
    resolveId: (id) => (id === ID ? `\0${ID}` : null),
    load: (id) => (id === `\0${ID}` ? `export default JSON.parse(${JSON.stringify(JSON.stringify(functionDocs()))});` : null),
  };
}
