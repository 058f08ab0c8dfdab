import { existsSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { MAINLINE, type KernelModules, type Overlay, type OverlayFactory, type UserPatch } from "@faultline/kernel";
import { createJiti } from "jiti";
import { firstLine, UserError } from "./failure.js";

/** Where this installation's kernel is, for patches in whatever folder. */
function kernelEntry(): string {
  return fileURLToPath(import.meta.resolve("@faultline/kernel"));
}

export interface LoadedPatch {
  /** As the user wrote it. */
  readonly file: string;
  readonly path: string;
  readonly patch: UserPatch;
  readonly overlay: OverlayFactory;
}

/**
 * Loads a patch of the user's own: a module whose default export is a `UserPatch`.
 * @throws UserError naming the file and what is wrong with it
 */
export async function loadPatch(file: string): Promise<LoadedPatch> {
  const complain = (problem: string): UserError => new UserError(`patch ${file}: ${problem}`);
  const path = resolve(file);
  if (!existsSync(path)) throw complain("no such file");
  if (!statSync(path).isFile()) throw complain("is not a file");

  const typeError = await firstTypeError(path);
  if (typeError !== null) throw complain(typeError);

  const jiti = createJiti(import.meta.url, {
    alias: { "@faultline/kernel": kernelEntry() },
    fsCache: false,
    interopDefault: false,
  });
  let exported: unknown;
  try {
    exported = await jiti.import(path, { default: true });
  } catch (error) {
    throw complain(`cannot be loaded: ${firstLine(error)}`);
  }
  if (!isUserPatch(exported)) {
    throw complain("its default export must be { name: string, apply: (base) => ({ module: { function } }) }");
  }
  const overlay = exported.apply.bind(exported);
  checkOverlay(overlay, complain);
  return { file, path, patch: exported, overlay };
}

function isUserPatch(value: unknown): value is UserPatch {
  if (typeof value !== "object" || value === null) return false;
  const { name, apply } = value as Partial<Record<keyof UserPatch, unknown>>;
  return typeof name === "string" && typeof apply === "function";
}

/** Every replacement must stand where mainline has something of its kind. */
function checkOverlay(apply: (base: KernelModules) => Overlay, complain: (problem: string) => UserError): void {
  let overlay: unknown;
  try {
    overlay = apply(MAINLINE);
  } catch (error) {
    throw complain(`apply() threw: ${firstLine(error)}`);
  }
  if (typeof overlay !== "object" || overlay === null) throw complain("apply() must return an object of modules");
  const kernel: Readonly<Record<string, Readonly<Record<string, unknown>>>> = MAINLINE;
  for (const [module, functions] of Object.entries(overlay as Record<string, unknown>)) {
    const mainline = Object.hasOwn(kernel, module) ? kernel[module] : undefined;
    if (mainline === undefined) throw complain(`the kernel has no module '${module}'`);
    if (typeof functions !== "object" || functions === null) throw complain(`'${module}' must be an object of functions`);
    for (const [name, replacement] of Object.entries(functions as Record<string, unknown>)) {
      if (!Object.hasOwn(mainline, name)) throw complain(`the kernel has no '${module}.${name}'`);
      const original = mainline[name];
      if (typeof replacement !== typeof original) {
        throw complain(`'${module}.${name}' is a ${typeof original}, not a ${typeof replacement}`);
      }
      if (isGenerator(original) && !isGenerator(replacement)) {
        throw complain(`'${module}.${name}' must be a generator function`);
      }
    }
  }
}

function isGenerator(value: unknown): boolean {
  return Object.prototype.toString.call(value) === "[object GeneratorFunction]";
}

/**
 * Syntax and type errors, as `line:column: message`: the compiler finds before the run what would
 * otherwise show as a strange kernel.
 */
async function firstTypeError(path: string): Promise<string | null> {
  const { default: ts } = await import("typescript");
  const program = ts.createProgram([path], {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    lib: ["lib.es2023.d.ts"],
    paths: { "@faultline/kernel": [kernelEntry().replace(/\.js$/, ".d.ts")] },
    strict: true,
    allowImportingTsExtensions: true,
    allowJs: true,
    checkJs: false,
    noEmit: true,
    skipLibCheck: true,
    types: [],
  });
  for (const diagnostic of ts.getPreEmitDiagnostics(program)) {
    const message = ts.flattenDiagnosticMessageText(diagnostic.messageText, " ").replaceAll(/\s+/g, " ");
    if (diagnostic.file === undefined || diagnostic.start === undefined) return message;
    const { line, character } = diagnostic.file.getLineAndCharacterOfPosition(diagnostic.start);
    const other = resolve(diagnostic.file.fileName) === path ? "" : `${diagnostic.file.fileName}:`;
    return `${other}${line + 1}:${character + 1}: ${message}`;
  }
  return null;
}
