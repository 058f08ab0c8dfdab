import { ESLint } from "eslint";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** What lint says of a text, as if it stood in this file, which the type-aware rules know. */
async function complaints(code: string, file = fileURLToPath(import.meta.url)): Promise<string[]> {
  const eslint = new ESLint({
    cwd: ROOT,
    // In CI the parser would take this file as it is on disk instead of the text.
    overrideConfig: { languageOptions: { parserOptions: { disallowAutomaticSingleRunInference: true } } },
  });
  const [result] = await eslint.lintText(code, { filePath: file });
  return result!.messages.map((m) => `${m.line} ${m.ruleId}`);
}

test("lint refuses a generator call whose result is dropped", async () => {
  const code = `
import type { MaySleep } from "@faultline/kernel";
declare function folioPut(folio: number): MaySleep<boolean>;
declare const k: { swap: { folioPut: typeof folioPut } };
export function* caller(): MaySleep<void> {
  folioPut(1);
  k.swap.folioPut(1);
  void k.swap.folioPut(1);
  if (k.swap.folioPut(1)) return;
  while (!k.swap.folioPut(1)) folioPut(2), folioPut(3);
  do folioPut(1)!; while (folioPut(2) && folioPut(3));
  for (folioPut(1); folioPut(2); folioPut(3)) k?.swap.folioPut(4);
  const value = folioPut(1) ? 1 : 2;
  value === 1 ? folioPut(1) : folioPut(2);
  yield* k.swap.folioPut(1);
  const kept = k.swap.folioPut(1);
  if (yield* kept) return;
}
`;
  const lines = [6, 7, 8, 9, 10, 10, 10, 11, 11, 11, 12, 12, 12, 12, 13, 14, 14];
  const complained = (await complaints(code)).filter((text) => text.endsWith("dropped-generator"));
  expect(complained).toEqual(lines.map((line) => `${line} faultline/dropped-generator`));
});

test("lint refuses any, ts-ignore and state at module level", async () => {
  const code = `
export const a = 1 as any;
// @ts-ignore
export const b: string = 1;
export let c = 3;
export const set = (): void => void (c = 4);
`;
  expect(await complaints(code)).toEqual([
    "2 @typescript-eslint/no-explicit-any",
    "3 @typescript-eslint/ban-ts-comment",
    "5 no-restricted-syntax",
  ]);
});

test.each(["kernel", "riscv", "checker", "trace"])("lint keeps what is Node's, a browser's or the computer's out of %s", async (name) => {
  const code = `
import { readFileSync } from "node:fs";
import { threadId } from "worker_threads";
export const a = [readFileSync, threadId, process.pid, window.name];
export const b = [Date.now(), new Date(), performance.now(), globalThis.performance];
export const c = [Math.random(), crypto.randomUUID()];
export const d = [(1234.5).toLocaleString(), "a".localeCompare("b"), new Intl.NumberFormat()];
`;
  expect(await complaints(code, `${ROOT}packages/${name}/src/index.ts`)).toEqual([
    "2 no-restricted-imports",
    "3 no-restricted-imports",
    ...Array<string>(2).fill("4 no-restricted-globals"),
    ...Array<string>(3).fill("5 no-restricted-globals"),
    "5 no-restricted-properties",
    "6 no-restricted-properties",
    "6 no-restricted-globals",
    ...Array<string>(2).fill("7 no-restricted-properties"),
    "7 no-restricted-globals",
  ]);
});
