import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { expect, test } from "vitest";

const DRIVERS = new URL("../src/drivers/", import.meta.url);

/** What a module imports of others, by the names of their files. */
function importsOf(name: string): string[] {
  const source = ts.createSourceFile(name, readFileSync(new URL(name, DRIVERS), "utf8"), ts.ScriptTarget.ES2022);
  return source.statements.flatMap((node) => (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier) ? [node.moduleSpecifier.text] : []));
}

test("the test driver is written with what every driver has, and nothing else", () => {
  const modules = ["dmirror.ts", ...readdirSync(fileURLToPath(DRIVERS)).filter((name) => name.startsWith("test_hmm"))];
  expect(modules).toHaveLength(3);
  const own = modules.map((name) => `./${name.replace(/\.ts$/, ".js")}`);
  for (const name of modules) expect(importsOf(name).filter((from) => !own.includes(from))).toEqual(["../driver.js"]);
});
