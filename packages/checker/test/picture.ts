import type { Machine } from "@faultline/kernel";

/**
 * All that can be reached from an object, in words: objects are numbered as they are met.
 * @param unseen properties that are left out
 * @param brief what there is to say of an object that is not followed further; null for most
 */
export function picture(
  root: object,
  leaveOut: ReadonlySet<object>,
  unseen: ReadonlySet<string> = new Set(),
  brief: (object: object) => string | null = () => null,
): string[] {
  const numbers = new Map<object, number>([[root, 0]]);
  const met: object[] = [root];
  const word = (value: unknown): string => {
    if ((typeof value !== "object" && typeof value !== "function") || value === null) return String(value);
    if (leaveOut.has(value)) return "left out";
    let n = numbers.get(value);
    if (n === undefined) {
      numbers.set(value, (n = met.length));
      met.push(value);
    }
    return `#${n}`;
  };
  const lines: string[] = [];
  for (const object of met) {
    const name = Object.prototype.toString.call(object);
    const start = `#${lines.length} ${object.constructor?.name ?? name}`;
    const words = brief(object);
    if (words !== null) lines.push(`${start} ${words}`);
    else if (ArrayBuffer.isView(object)) lines.push(object.byteLength > 16384 ? start : `${start} ${String(object)}`);
    else if (typeof object === "function" || name.includes("Generator") || object instanceof ArrayBuffer) lines.push(start);
    else if (Array.isArray(object)) lines.push(`${start} ${Array.from(object as unknown[], word).join()}`);
    else if (object instanceof Map) lines.push(`${start} ${[...object].map(([key, value]) => `${word(key)} => ${word(value)}`).join()}`);
    else if (object instanceof Set) lines.push(`${start} ${[...object].map(word).join()}`);
    else lines.push(`${start} ${Object.entries(object).filter(([key]) => !unseen.has(key)).map(([key, value]) => `${key}: ${word(value)}`).join()}`);
  }
  return lines;
}

/** The page-table entries that are not empty. */
export function entries({ pt }: Machine): string[] {
  return Array.from({ length: pt.words.length / 2 }, (_, ptep) => ptep)
    .filter((ptep) => !pt.isNone(ptep))
    .map((ptep) => `${ptep}: ${pt.flags(ptep)} ${pt.pfn(ptep)}`);
}
