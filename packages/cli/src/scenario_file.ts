import { dirname, relative, resolve } from "node:path";
import type { Guests, Scenario } from "@faultline/checker";
import type { Driver } from "@faultline/kernel";
import { ScenarioGuests, type GuestProgram } from "@faultline/riscv";
import { driverFault } from "./driver_file.js";
import { UserError } from "./failure.js";
import { readProgram } from "./run.js";
import { UserModule } from "./user_module.js";

/** A scenario's machine: limits as `ScenarioMachine` gives them. */
const MACHINE = { frames: [32, 4096], swapSlots: [0, 4096], cpus: [1, 8], nodes: [1, 4], devices: [0, 8], devicePages: [0, 1024] } as const;

export interface LoadedScenario {
  /** As the user wrote it. */
  readonly file: string;
  readonly path: string;
  /** Paths of the programs that are threads of it. */
  readonly programs: readonly string[];
  readonly scenario: Scenario;
  /** Runs the threads that are programs; absent where none is. */
  readonly guests?: Guests;
}

/**
 * Loads a scenario: a module whose default export is one.
 * @throws UserError naming the file and what is wrong with it
 */
export async function loadScenario(module: UserModule, besides: readonly Driver[] = []): Promise<LoadedScenario> {
  const exported = await module.load();
  const wrong = faultOf(exported, besides);
  if (wrong !== null) throw module.complaint(wrong);
  const scenario = exported as Scenario;
  const programs = readPrograms(module, scenario);
  const paths = [...programs.keys()].map((elf) => resolve(dirname(module.path), elf));
  return { file: module.file, path: module.path, programs: paths, scenario, ...(programs.size === 0 ? {} : { guests: new ScenarioGuests(programs) }) };
}

/** The files of the threads that are programs, by the names that the scenario has for them. */
function readPrograms(module: UserModule, { threads }: Scenario): Map<string, GuestProgram> {
  const programs = new Map<string, GuestProgram>();
  for (const [name, thread] of Object.entries(threads)) {
    if (!("elf" in thread) || programs.has(thread.elf)) continue;
    const path = resolve(dirname(module.path), thread.elf);
    try {
      programs.set(thread.elf, readProgram(relative("", path)));
    } catch (error) {
      throw error instanceof UserError ? module.complaint(`thread '${name}': ${error.message}`) : error;
    }
  }
  return programs;
}

type Properties = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Properties {
  return typeof value === "object" && value !== null;
}

function isWhole(value: unknown, [min, max]: readonly [number, number]): boolean {
  return Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
}

/** What makes it no scenario, or null. The compiler has not looked at JavaScript, and sees no numbers. */
function faultOf(exported: unknown, besides: readonly Driver[]): string | null {
  if (exported === undefined || (isObject(exported) && Object.keys(exported).length === 0)) return "it has no default export: write export default scenario({ … })";
  if (!isObject(exported)) return "its default export is no scenario";
  const { title, machine = {}, setup, threads, check, drivers = [] } = exported;
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
  if (!Array.isArray(drivers)) return "its drivers must be an array";
  for (const driver of drivers) {
    const fault = driverFault(driver);
    if (fault !== null) return `of one of its drivers: ${fault}`;
  }
  const all = [...(drivers as readonly Driver[]), ...besides];
  const named = all.flatMap((driver) => driver.devices.map(({ name }) => name));
  if (!isObject(threads) || Object.keys(threads).length === 0) return "it has no threads";
  for (const [name, thread] of Object.entries(threads)) {
    const fault = isObject(thread) ? threadFault(thread, machine, named) : "must be { on, *run(t, s) }";
    if (fault !== null) return `thread '${name}' ${fault}`;
  }
  return null;
}

function threadFault({ on, run, elf }: Properties, machine: Properties, named: readonly string[]): string | null {
  const program = elf !== undefined;
  if (program && run !== undefined) return "has both run and elf: it is one or the other";
  if (program && (typeof elf !== "string" || elf === "")) return "has an elf that is no name of a file";
  if (!program && typeof run !== "function") return "has no run: a generator function";
  if (!isObject(on) || "cpu" in on === "device" in on) return "must say where it runs: on: { cpu } or { device }";
  if (program && !("cpu" in on)) return "is a program, and must be on: { cpu }";
  const { cpus = 2, devices = named.length > 0 ? 0 : 1 } = machine;
  if (typeof on["device"] === "string") {
    if (named.includes(on["device"])) return null;
    return `is to run on device '${on["device"]}', and ${named.length === 0 ? "there is no driver: give it with --driver" : `drivers have ${named.join(", ")}`}`;
  }
  const [kind, number, count] = "cpu" in on ? ["CPU", on["cpu"], cpus as number] : ["device", on["device"], devices as number];
  if (isWhole(number, [0, count - 1])) return null;
  return `is to run on ${kind} ${String(number)}, and the machine has ${count === 0 ? "none" : count === 1 ? `only ${kind} 0` : `${kind}s 0 to ${count - 1}`}`;
}
