import type { ShmemHuge } from "../mm/shmem_inode.js";
import { memparse } from "./pseudo.js";

/** What a tmpfs is mounted with (Documentation/filesystems/tmpfs.rst). */
export interface TmpfsOptions {
  /** Pages that its files may have together; Infinity for any number. */
  readonly maxPages: number;
  readonly maxInodes: number;
  readonly mode: number;
  /** Whose its top directory is. */
  readonly uid: number;
  readonly gid: number;
  readonly huge: ShmemHuge;
  readonly noswap: boolean;
  /** As /proc/mounts has them: those that are not what they would be otherwise. */
  readonly shown: string;
}

const HUGE: readonly ShmemHuge[] = ["never", "always", "within_size", "advise"];
const DEFAULT_MODE = 0o1777;

/** A number of bytes with a suffix, or a part of RAM in percent; null for what is none. */
function parseSize(text: string, totalPages: number): number | null {
  const size = memparse(text);
  if (size === null || (size.rest !== "" && size.rest !== "%")) return null;
  return size.rest === "" ? size.bytes : Math.floor((size.bytes * totalPages) / 100) * 4096;
}

/** The options of a mount, or null where one is unknown or wrong. `totalPages`: of RAM, of which a tmpfs has half. */
export function parseTmpfsOptions(data: string, totalPages: number): TmpfsOptions | null {
  const half = totalPages >> 1;
  let [maxPages, maxInodes, mode, huge, noswap] = [half, half, DEFAULT_MODE, "never" as ShmemHuge, false];
  const owners = new Map<string, number>();
  let inodes: string | null = null;
  for (const option of data.split(",").filter((o) => o !== "")) {
    const at = option.indexOf("=");
    const [name, value] = at < 0 ? [option, null] : [option.slice(0, at), option.slice(at + 1)];
    const size = value === null ? null : parseSize(value, totalPages);
    if (name === "size" && size !== null) maxPages = Math.ceil(size / 4096);
    else if (name === "nr_blocks" && size !== null) maxPages = size;
    else if (name === "nr_inodes" && size !== null) maxInodes = size;
    else if (name === "mode" && value !== null && /^[0-7]+$/.test(value)) mode = parseInt(value, 8) & 0o7777;
    else if (name === "huge" && HUGE.includes(value as ShmemHuge)) huge = value as ShmemHuge;
    else if ((name === "uid" || name === "gid") && value !== null && /^\d+$/.test(value)) owners.set(name, Number(value));
    else if (option === "inode32" || option === "inode64") inodes = option;
    else if (option === "noswap") noswap = true;
    else if (option !== "mpol=default") return null;
  }
  const shown: string[] = [];
  if (maxPages !== half) shown.push(`size=${maxPages * 4}k`);
  if (maxInodes !== half) shown.push(`nr_inodes=${maxInodes}`);
  if (mode !== DEFAULT_MODE) shown.push(`mode=${mode.toString(8).padStart(3, "0")}`);
  for (const name of ["uid", "gid"]) if ((owners.get(name) ?? 0) !== 0) shown.push(`${name}=${owners.get(name)}`);
  if (inodes !== null) shown.push(inodes);
  if (huge !== "never") shown.push(`huge=${huge}`);
  if (noswap) shown.push("noswap");
  return { maxPages: maxPages === 0 ? Infinity : maxPages, maxInodes, mode, uid: owners.get("uid") ?? 0, gid: owners.get("gid") ?? 0, huge, noswap, shown: shown.join(",") };
}
