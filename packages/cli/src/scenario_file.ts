import type { Scenario } from "@faultline/checker";
import { UserModule } from "./user_module.js";

/** A scenario's machine: limits as `ScenarioMachine` gives them. */
const MACHINE = { frames: [32, 4096], swapSlots: [0, 4096], cpus: [1, 8], devices: [0, 8] } as const;

export interface LoadedScenario {
  /** As the user wrote it. */
  readonly file: string;
  readonly path: string;
  readonly scenario: Scenario;
}

/**
 * Loads a scenario: a module whose default export is one.
 * @throws UserError naming the file and what is wrong with it
 */
export async function loadScenario(module: UserModule): Promise<LoadedScenario> {
  const exported = await module.load();
  const wrong = faultOf(exported);
  if (wrong !== null) throw module.complaint(wrong);
  return { file: module.file, path: module.path, scenario: exported as Scenario };
}

type Properties = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Properties {
  return typeof value === "object" && value !== null;
}

function isWhole(value: unknown, [min, max]: readonly [number, number]): boolean {
  return Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
}

/** What makes it no scenario, or null. The compiler has not looked at JavaScript, and sees no numbers. */
function faultOf(exported: unknown): string | null {
  if (exported === undefined || (isObject(exported) && Object.keys(exported).length === 0)) return "it has no default export: write export default scenario({ … })";
  if (!isObject(exported)) return "its default export is no scenario";
  const { title, machine = {}, setup, threads, check } = exported;
  if (typeof title !== "string") return "its title must be a string";
  if (typeof setup !== "function") return "its setup must be a generator function";
  if (check !== undefined && typeof check !== "function") return "its check must be a generator function";
  if (!isObject(machine)) return "its machine must be an object";
  const unknown = Object.keys(machine).find((name) => !Object.hasOwn(MACHINE, name));
  if (unknown !== undefined) return `its machine has no '${unknown}': there are ${Object.keys(MACHINE).join(", ")}`;
  for (const [name, range] of Object.entries(MACHINE)) {
    const value = machine[name];
    if (value !== undefined && !isWhole(value, range)) return `its machine.${name} must be a whole number from ${range[0]} to ${range[1]}`;
  }
  if (!isObject(threads) || Object.keys(threads).length === 0) return "it has no threads";
  for (const [name, thread] of Object.entries(threads)) {
    const fault = isObject(thread) ? threadFault(thread, machine) : "must be { on, *run(t, s) }";
    if (fault !== null) return `thread '${name}' ${fault}`;
  }
  return null;
}

function threadFault({ on, run }: Properties, machine: Properties): string | null {
  if (typeof run !== "function") return "has no run: a generator function";
  if (!isObject(on) || "cpu" in on === "device" in on) return "must say where it runs: on: { cpu } or { device }";
  const { cpus = 2, devices = 1 } = machine;
  const [kind, number, count] = "cpu" in on ? ["CPU", on["cpu"], cpus as number] : ["device", on["device"], devices as number];
  if (isWhole(number, [0, count - 1])) return null;
  return `is to run on ${kind} ${String(number)}, and the machine has ${count === 0 ? "none" : count === 1 ? `only ${kind} 0` : `${kind}s 0 to ${count - 1}`}`;
}
