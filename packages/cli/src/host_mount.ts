import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync, realpathSync, statSync, type Stats } from "node:fs";
import { isAbsolute, posix, resolve } from "node:path";
import type { HostMount } from "@faultline/riscv";
import type { HostNode } from "@faultline/kernel";
import { UserError } from "./failure.js";

/** What --mount was given. */
export interface Mount {
  readonly host: string;
  readonly guest: string;
}

/** HOST:GUEST; a string says in one line what is wrong with it. The last colon parts them. */
export function parseMount(text: string): Mount | string {
  const at = text.lastIndexOf(":");
  if (at <= 0 || at === text.length - 1) return "wanted as HOST:GUEST, two directories";
  const guest = posix.normalize(text.slice(at + 1));
  if (!isAbsolute(guest)) return "the guest's directory is wanted from the root, as in HOST:/data";
  if (guest === "/") return "the guest's own files are at /; choose a directory below";
  return { host: text.slice(0, at), guest };
}

const KINDS: readonly (readonly [is: (stats: Stats) => boolean, kind: HostNode["kind"]])[] = [
  [(stats) => stats.isFile(), "file"],
  [(stats) => stats.isDirectory(), "directory"],
  [(stats) => stats.isSymbolicLink(), "symlink"],
];

/** Names are bytes to the guest, and to Node text. */
function toGuest(name: string): string {
  return Buffer.from(name, "utf8").toString("latin1");
}

function toHost(name: string): string {
  return Buffer.from(name, "latin1").toString("utf8");
}

/** A file, directory or symbolic link; null for anything else, and for what is not there or cannot be looked at. */
function hostNode(path: string): HostNode | null {
  let stats: Stats;
  try {
    stats = lstatSync(path);
  } catch {
    return null;
  }
  const kind = KINDS.find(([is]) => is(stats))?.[1];
  if (kind === undefined) return null;
  return {
    kind,
    mode: stats.mode & 0o7777,
    size: stats.size,
    mtimeS: Math.floor(stats.mtimeMs / 1000),
    read(into, pos) {
      try {
        const fd = openSync(path, "r");
        try {
          return readSync(fd, into, 0, into.length, pos);
        } finally {
          closeSync(fd);
        }
      } catch {
        return null;
      }
    },
    names() {
      try {
        // In an order that does not depend on the host's file system.
        return readdirSync(path).map(toGuest).sort();
      } catch {
        return [];
      }
    },
    lookup: (name) => hostNode(`${path}/${toHost(name)}`),
    readlink: () => toGuest(readlinkSync(path)),
  };
}

/** @throws UserError for what is no directory */
export function openMount({ host, guest }: Mount): HostMount {
  let path: string;
  try {
    path = realpathSync(host);
    if (!statSync(path).isDirectory()) throw new UserError(`--mount ${host}:${guest}: ${host} is no directory`);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`--mount ${host}:${guest}: ${host} is not there`);
  }
  return { path: guest, source: resolve(host), root: hostNode(path)! };
}
