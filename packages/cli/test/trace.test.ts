import { once } from "node:events";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, watch, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { faultline, prebuilt, startFaultline, withFiles } from "./command.js";

const HELLO = prebuilt("hello");

function inFolder<T>(use: (path: (name: string) => string) => T): T {
  return withFiles({}, (folder) => use((name) => join(folder, name)));
}

async function withFolder(use: (path: (name: string) => string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "faultline-"));
  try {
    await use((name) => join(folder, name));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Runs what must succeed in silence; its standard output. */
function quiet(...args: readonly string[]): string {
  const { status, stdout, stderr } = faultline(args);
  expect({ args, status, stderr }).toEqual({ args, status: 0, stderr: "" });
  return stdout;
}

/** The one line of a complaint. */
function complaint(...args: readonly string[]): string {
  const { status, stderr } = faultline(args);
  expect({ args, status }).toEqual({ args, status: 125 });
  expect(stderr).toMatch(/^faultline: [^\n]+\n$/);
  return stderr.slice("faultline: ".length, -1);
}

describe("run --trace", () => {
  test("writes the format that the file's name asks for, and the program's output is its own", () => {
    inFolder((path) => {
      for (const [name, beginning] of [
        ["a.txt", "# tracer: nop\n"],
        ["a.pftrace", "\n"],
        ["a.fltrace", "FLTRACE\n"],
        ["anything", "FLTRACE\n"],
      ] as const) {
        expect(quiet("run", "--trace", path(name), HELLO)).toBe("hello from a riscv64 program\n");
        expect(readFileSync(path(name), "latin1").startsWith(beginning), name).toBe(true);
      }
    });
  });

  test("is the same run as without, and twice the same bytes", () => {
    inFolder((path) => {
      const run = (file: string): Buffer => {
        quiet("run", "--seed", "7", "--trace", path(file), prebuilt("counter"), "2", "500", "device");
        return readFileSync(path(file));
      };
      expect(run("a.fltrace").equals(run("b.fltrace"))).toBe(true);
      expect(run("a.txt").equals(run("b.txt"))).toBe(true);
      expect(run("a.pftrace").equals(run("b.pftrace"))).toBe(true);
    });
  });

  test("is not written over what is read", () => {
    inFolder((path) => {
      copyFileSync(HELLO, path("program"));
      expect(complaint("run", "--trace", path("program"), path("program"))).toBe(`${path("program")}: is the file that is read from`);
      quiet("run", "--trace", path("a.fltrace"), path("program"));
      symlinkSync(path("a.fltrace"), path("a.txt"));
      expect(complaint("trace", path("a.fltrace"), "--to", path("a.txt"))).toBe(`${path("a.txt")}: is the file that is read from`);
      expect(quiet("trace", path("a.fltrace"), "--to", path("b.txt"))).toBe("");
    });
  });

  test("says in one line why a file cannot be written", () => {
    inFolder((path) => {
      mkdirSync(path("folder.txt"));
      expect(complaint("run", "--trace", path("folder.txt"), HELLO)).toBe(`${path("folder.txt")}: is a directory`);
      expect(complaint("run", "--trace", path("none/a.txt"), HELLO)).toBe(`${path("none/a.txt")}: there is no such folder`);
    });
    for (const suffix of ["", ".txt", ".pftrace"]) {
      // A link's name has the suffix, what it leads to is a disk that is full.
      inFolder((path) => {
        const full = path(`full${suffix}`);
        symlinkSync("/dev/full", full);
        expect(complaint("run", "--trace", full, HELLO)).toBe(`${full}: the disk is full`);
        // In the midst of the run, with locks held.
        const counter = [prebuilt("counter"), "2", "1000", "device"];
        expect(complaint("run", "--trace-functions", "--trace", full, ...counter)).toBe(`${full}: the disk is full`);
      });
    }
  });
});

describe("trace", () => {
  test("says what a run was and what it did", () => {
    inFolder((path) => {
      const file = path("a.fltrace");
      const { status } = faultline(["run", "--release", "6.14", "--without", "per-vma-locks", "--memory", "64M", "--swap", "0", "--cpus", "3", "--seed", "9", "--before", "cat /proc/version",
        "--trace", file, prebuilt("args"), "one", "two words"]);
      expect(status).toBe(3);
      const said = quiet("trace", file);
      expect(said).toMatch(/^program +programs\/prebuilt\/args one 'two words'\nkernel +6\.14 --without per-vma-locks\n/);
      expect(said).toContain("64M of RAM, 0 of swap, 3 CPUs, seed 9\nbefore it  cat /proc/version\n");
      expect(said).toMatch(/^duration +0\.\d{9} s of machine time, then the program ended$/m);
      expect(said).toMatch(/^hash +[0-9a-f]{64}$/m);
      expect(said).toMatch(/^ +\d+ {2}kmem:mm_page_alloc$/m);
      const counts = [...said.matchAll(/^ +(\d+) {2}\w+:\w+$/gm)].map(([, count]) => Number(count));
      expect(Number(/^events +(\d+)$/m.exec(said)![1])).toBe(counts.reduce((a, b) => a + b, 0));
    });
  });

  test("--to writes what run --trace would have written", () => {
    inFolder((path) => {
      const run = (file: string): string => quiet("run", "--trace-functions", "--trace", path(file), HELLO);
      run("a.fltrace");
      for (const suffix of ["txt", "pftrace"]) {
        run(`a.${suffix}`);
        expect(quiet("trace", "--to", path(`b.${suffix}`), path("a.fltrace"))).toBe("");
        expect(readFileSync(path(`b.${suffix}`)).equals(readFileSync(path(`a.${suffix}`))), suffix).toBe(true);
      }
      expect(complaint("trace", "--to", path("a.json"), path("a.fltrace"))).toMatch(/must end in \.txt or \.pftrace$/);
      expect(() => statSync(path("a.json"))).toThrow();
    });
  });

  test("refuses what is none, or damaged, in one line", () => {
    inFolder((path) => {
      const file = path("a.fltrace");
      quiet("run", "--trace", file, HELLO);
      const good = readFileSync(file);
      const bad = Buffer.from(good);
      bad[good.length >> 1]! ^= 1;
      writeFileSync(path("bad"), bad);
      writeFileSync(path("empty"), "");
      expect(complaint("trace", path("bad"))).toMatch(/^\S+: it is damaged between bytes \d+ and \d+$/);
      expect(complaint("trace", path("empty"))).toBe(`${path("empty")}: it is empty`);
      expect(complaint("trace", HELLO)).toBe(`${HELLO}: it is no trace of Faultline`);
      expect(complaint("trace", path("none"))).toBe(`${path("none")}: no such file`);
      expect(complaint("trace", path("."))).toBe(`${path(".")}: is a directory`);
    });
  });

  test("reads what a run has left that was killed", async () => {
    await withFolder(async (path) => {
      const file = path("a.fltrace");
      writeFileSync(file, "");
      const watcher = watch(file);
      const child = startFaultline(["run", "--trace", file, prebuilt("counter"), "4", "100000000", "device"]);
      while (statSync(file).size < 600_000) await once(watcher, "change");
      child.kill("SIGKILL");
      await once(child, "exit");
      watcher.close();
      const { status, stdout, stderr } = faultline(["trace", file]);
      expect(status).toBe(0);
      expect(stderr).toBe(`faultline: ${file}: its run was cut off; this is what was complete by then\n`);
      expect(Number(/^events +(\d+)$/m.exec(stdout)![1])).toBeGreaterThan(10_000);
      expect(stdout).toMatch(/then cut off$/m);
    });
  });
});
