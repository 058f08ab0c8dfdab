import { basename } from "node:path";
import { MAINLINE, type KernelModules, type Overlay, type OverlayFactory, type UserPatch } from "@faultline/kernel";
import { firstLine, type UserError } from "./failure.js";
import { trial } from "./trial.js";
import { UserModule } from "./user_module.js";

export interface LoadedPatch {
  /** As the user wrote it. */
  readonly file: string;
  readonly path: string;
  /** Paths of all modules that it consists of. */
  readonly sources: readonly string[];
  readonly patch: UserPatch;
  readonly overlay: OverlayFactory;
}

/**
 * Loads a patch of the user's own: a module whose default export is a `UserPatch`, or an overlay alone.
 * @throws UserError naming the file and what is wrong with it
 */
export async function loadPatch(file: string): Promise<LoadedPatch> {
  const module = new UserModule("patch", file);
  const [typeError] = module.typeErrors();
  if (typeError !== undefined) throw module.complaint(typeError);
  await trial("patch", file);
  return await patchOf(module);
}

/** @throws UserError when the module is no patch */
export async function patchOf(module: UserModule): Promise<LoadedPatch> {
  const { file } = module;
  const complain = (problem: string): UserError => module.complaint(problem);
  const exported = await module.load();
  const patch = typeof exported === "function" ? { name: basename(file), apply: exported as OverlayFactory } : exported;
  if (!isUserPatch(patch)) {
    throw complain("its default export must be { name: string, apply: (base) => ({ module: { function } }) }");
  }
  const overlay = patch.apply.bind(patch);
  checkOverlay(overlay, complain);
  return { file, path: module.path, sources: [module.path, ...module.sources], patch, overlay };
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
