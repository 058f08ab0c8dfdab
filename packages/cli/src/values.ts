import { parseSchedule, type Decision } from "@faultline/checker";
import { MAX_NODES } from "@faultline/kernel";
import { InvalidArgumentError } from "commander";

const UNITS: Readonly<Record<string, number>> = { "": 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };
const PAGE = 4096;

/** How 'faultline check' chooses schedules. */
export const STRATEGIES = ["exhaustive", "pct", "walk", "random"] as const;
export type StrategyName = (typeof STRATEGIES)[number];

/** `2G`, `512M`, `64K` or bytes; a whole number of pages. */
export function parseSize(text: string): number {
  const match = /^(\d+)([KMGT]?)(?:i?B)?$/i.exec(text);
  if (match === null) throw new InvalidArgumentError("sizes are written as 2G, 512M, 64K, or a number of bytes.");
  const bytes = Number(match[1]) * UNITS[match[2]!.toUpperCase()]!;
  if (bytes % PAGE !== 0) throw new InvalidArgumentError("it is not a multiple of 4K.");
  return bytes;
}

/** A size as it was most likely meant: the largest unit that leaves a whole number. */
export function formatSize(bytes: number): string {
  for (const unit of ["G", "M", "K"]) {
    if (bytes >= UNITS[unit]! && bytes % UNITS[unit]! === 0) return `${bytes / UNITS[unit]!}${unit}`;
  }
  return String(bytes);
}

const MIN_RAM = 2 ** 20;
const MAX_RAM = 2 ** 32;
const MAX_SWAP = 2 ** 36;
const MAX_CPUS = 16;

export function parseMemory(text: string): number {
  const bytes = parseSize(text);
  if (bytes > MAX_RAM) throw new InvalidArgumentError("a machine has 4G at most.");
  if (bytes < MIN_RAM) throw new InvalidArgumentError("a machine has 1M at least.");
  return bytes;
}

export function parseSwap(text: string): number {
  const bytes = parseSize(text);
  if (bytes > MAX_SWAP) throw new InvalidArgumentError("swap is 64G at most; 0 is none.");
  return bytes;
}

/** A parser of whole numbers in a range. */
function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(`it must be a whole number from ${min} to ${max}.`);
    }
    return value;
  };
}

export const parseCpus = wholeNumber(1, MAX_CPUS);
export const parseNodes = wholeNumber(1, MAX_NODES);
/** More than that many switches away from those who could go on need no bound, but the exhaustive strategy. */
export const parsePreemptions = wholeNumber(0, 64);
/** Each more multiplies the states. */
export const parseRetries = wholeNumber(0, 64);
/** Orderings that a bug needs; more than a handful is no search any more. */
export const parseDepth = wholeNumber(1, 64);
/** Of a random program: a machine has eight CPUs at most. */
export const parseThreads = wholeNumber(1, 8);
/** Threads that share the work of a command. */
export const parseWorkers = wholeNumber(1, 64);
/** Of a list of difftest's: programs/difftest.c has room for so many. */
export const parseOperations = wholeNumber(1, 4096);
export const parseExecutions = wholeNumber(1, 1e12);
export const parsePort = wholeNumber(0, 65_535);
export const parseSeed = wholeNumber(0, 2 ** 32 - 1);

/** A schedule, as a violation was reported with. */
export function parseReplay(text: string): Decision[] {
  const decisions = parseSchedule(text);
  if (typeof decisions === "string") throw new InvalidArgumentError(`${decisions}.`);
  return decisions;
}

/** Seconds, with a fraction if need be. */
export function parseSeconds(text: string): number {
  const value = Number(text);
  if (!/^\d+(\.\d+)?$/.test(text) || value <= 0 || value > 1e6) {
    throw new InvalidArgumentError("it must be a number of seconds, more than 0 and at most 1000000.");
  }
  return value;
}

/** A word as a shell takes it unchanged. */
export function shellQuote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** A rate as it is printed: 0 where no time has passed. */
export function perSecond(n: number, seconds: number): number {
  return seconds > 0 ? Math.round(n / seconds) : 0;
}
