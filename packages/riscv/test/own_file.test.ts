import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Errno, hostFile } from "@faultline/kernel";
import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

const bytesOf = (name: string): Uint8Array => readFileSync(fileURLToPath(new URL(`../../../programs/prebuilt/${name}`, import.meta.url)));

// The expected output is what the same source prints natively on Linux 6.18.
test.each(["own-file", "broken-elf"])("what is mapped of executables, and what is not, is what Linux maps: %s", async (name) => {
  const run = runGuest(name);
  await expect(run.stdout).toMatchFileSnapshot(`./__snapshots__/${name}.txt`);
  expect(run.exitCode).toBe(0);
});

const PT_GNU_STACK = 0x6474e551;
const PT_INTERP = 3;

/** A program that has another one as its interpreter, by a path behind all else of its file. */
function withInterpreter(name: string, path: string): Uint8Array {
  const bytes = bytesOf(name);
  const file = new Uint8Array(bytes.length + path.length + 1);
  file.set(bytes);
  file.set(new TextEncoder().encode(path), bytes.length);
  const view = new DataView(file.buffer);
  for (let at = 64; ; at += 56) {
    if (view.getUint32(at, true) !== PT_GNU_STACK) continue;
    view.setUint32(at, PT_INTERP, true);
    view.setBigUint64(at + 8, BigInt(bytes.length), true);
    view.setBigUint64(at + 32, BigInt(path.length + 1), true);
    return file;
  }
}

test("a program is started by its interpreter, which lies where there is room", () => {
  const mounts = [{ path: "/lib/linker", source: "host", root: hostFile(bytesOf("pie"), 0o755) }];
  const run = runGuest("spin", { bytes: withInterpreter("spin", "/lib/linker"), mounts });
  expect(run.stdout).toBe("moved and still right\n");
});

test("an interpreter that is missing is said to be", () => {
  const run = runGuest("hello", { bytes: withInterpreter("hello", "/lib/linker") });
  expect(run.machine.loadFailure).toEqual({ errno: Errno.ENOENT, interpreter: "/lib/linker" });
  expect(runGuest("hello").machine.loadFailure).toBeNull();
});

/** What /proc/PID/maps had. */
function mapsOf(run: ReturnType<typeof runGuest>): string[] {
  return run.operator.trim().split("\n");
}

test("a program lies where Linux puts it: by its addresses, anywhere, or beside what it runs", () => {
  const lines = ["cat /proc/$PID/maps", "kill -KILL $PID"];
  const mounts = [{ path: "/lib/linker", source: "host", root: hostFile(bytesOf("exclusive-check"), 0o755) }];
  const fixed = mapsOf(runGuest("exclusive-check", { args: ["4"], lines }));
  expect(fixed[0]).toMatch(/^00010000-00011000 r--p 00000000 00:.. 1 +\/bin\/exclusive-check$/);
  expect(fixed[1]).toMatch(/^00011000-0001[0-9a-f]000 r-xp 00001000 /);
  const linked = mapsOf(runGuest("hello", { bytes: withInterpreter("pie", "/lib/linker"), args: ["4"], mounts, lines }));
  // The interpreter has addresses of its own; the program lies at two thirds of the address space, its heap behind it.
  expect(linked[0]).toMatch(/^00010000-00011000 r--p 00000000 .* \/lib\/linker$/);
  expect(linked.find((line) => line.endsWith("/bin/hello"))).toMatch(/^2[a-f][0-9a-f]{8}-[0-9a-f]{10} r--p 00000000 /);
  expect(runGuest("pie", { args: ["heap"] }).stdout).toBe("moved and still right\nheap below the program: 1\n");
});
