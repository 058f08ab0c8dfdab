import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { deserialize, serialize } from "node:v8";
import type { SavedSearch } from "@faultline/checker";
import type { CheckWish } from "./check_run.js";
import { UserError } from "./failure.js";

interface Saved {
  readonly fingerprint: string;
  readonly search: SavedSearch;
}

/**
 * Where an exploration that was not complete has got to, for `--resume`: a file of its own for each
 * scenario, kernel and way of exploring, in the user's folder for such (XDG Base Directory Specification).
 */
export class SavedFile {
  readonly path: string;
  private readonly fingerprint: string;
  private failed = false;

  constructor(
    private readonly wish: CheckWish,
    files: readonly string[],
    private readonly warn: (line: string) => void,
  ) {
    const { file, release, without, patch, driver, preemptions, retries, sampling } = wish;
    const folder = process.env["XDG_STATE_HOME"] ?? join(homedir(), ".local", "state");
    const name = hashOf([resolve(file), release, ...without, ...patch.map((name) => resolve(name)), ...driver.map((name) => resolve(name)), String(preemptions), String(retries), JSON.stringify(sampling ?? null)]);
    this.path = join(folder, "faultline", `check-${name}`);
    this.fingerprint = hashOf([...files.map((path) => readFileSync(path)), ...ownCode()]);
  }

  /**
   * What was saved, if that is asked for, and there is something.
   * @throws UserError when it was saved for another scenario or kernel than they are now
   */
  load(): SavedSearch | undefined {
    if (!this.wish.resume) return undefined;
    let bytes: Buffer;
    try {
      bytes = readFileSync(this.path);
    } catch {
      this.warn("--resume: nothing was saved of such an exploration, which begins anew");
      return undefined;
    }
    let saved: Saved;
    try {
      saved = deserialize(bytes) as Saved;
    } catch {
      throw new UserError(`--resume: ${this.path} is damaged: without --resume, the exploration begins anew`);
    }
    if (saved.fingerprint !== this.fingerprint) throw new UserError("--resume: the scenario, a program, a patch, a driver, or faultline has changed since: without --resume, the exploration begins anew");
    return saved.search;
  }

  /** Replaces what was saved: whoever reads the file, at whatever time, finds the one or the other whole. */
  write(search: SavedSearch): void {
    if (this.failed) return;
    const next = `${this.path}.${process.pid}`;
    try {
      mkdirSync(dirname(this.path), { recursive: true });
      writeFileSync(next, serialize({ fingerprint: this.fingerprint, search } satisfies Saved));
      renameSync(next, this.path);
    } catch (error) {
      // To explore is worth more than to be able to go on.
      this.failed = true;
      rmSync(next, { force: true });
      this.warn(`${this.path} cannot be written (${(error as Error).message}): --resume will begin anew`);
    }
  }

  /** There is nothing to go on with. */
  remove(): void {
    rmSync(this.path, { force: true });
  }
}

function hashOf(texts: readonly (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const text of texts) hash.update(text).update("\0");
  return hash.digest("hex").slice(0, 16);
}

/** All of the code that explores and is explored: what was learnt of other code is worth nothing. */
function ownCode(): Buffer[] {
  return ["@faultline/kernel", "@faultline/checker", "@faultline/riscv"].flatMap((name) => {
    const folder = dirname(fileURLToPath(import.meta.resolve(name)));
    const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".js"));
    return files.sort().map((file) => readFileSync(join(folder, file)));
  });
}
