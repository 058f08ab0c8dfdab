import { hostFile, type HostNode } from "@faultline/kernel";
import { describe, expect, test } from "vitest";
import { LinuxMachine, MountError } from "../src/index.js";
import { runGuest } from "./guest.js";

describe("execve", () => {
  // The expected output is what the same source prints natively on Linux 6.18.
  test.each([1, 2, 3])("runs and refuses what Linux does, and keeps what Linux keeps (seed %i)", async (seed) => {
    const run = runGuest("exec", { seed });
    await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/exec.txt");
    expect(run.exitCode).toBe(0);
    const { m } = run.machine;
    expect(m.mms).toEqual([]);
    expect([...m.processes.keys()].filter((pid) => pid > run.machine.program!.pid)).toEqual([]);
  });

  test("is shown as strace shows it", () => {
    const { strace } = runGuest("exec");
    const at = strace.findIndex((line) => line.includes("execve("));
    expect(strace[at]).toMatch(/execve\("\/tmp\/faultline-exec\/copy", \["from-thread", "second"\], 0x[0-9a-f]+ \/\* 0 vars \*\/ <unfinished ...>$/);
    expect(strace.slice(at).find((line) => line.includes("execve resumed"))).toMatch(/<... execve resumed>\) += 0$/);
  });

  test("leaves a machine that is full as it was", () => {
    const run = runGuest("exec", { memoryBytes: 8 * 2 ** 20, swapBytes: 0 });
    expect(run.result.end).toBe("exited");
  });
});

/** A directory of the host, of those names. */
function directory(entries: Readonly<Record<string, HostNode>>): HostNode {
  return { ...hostFile(new Uint8Array(0), 0o755), kind: "directory", names: () => Object.keys(entries), lookup: (name) => entries[name] ?? null };
}

function mounted(path: string, root: HostNode): LinuxMachine {
  return runGuest("hello", { mounts: [{ path, source: "host", root }] }).machine;
}

describe("files of the host", () => {
  const text = hostFile(new TextEncoder().encode("from the host\n"), 0o644);

  test("are read, and not written", () => {
    const mounts = [{ path: "/a/b", source: "host", root: directory({ text, sub: directory({ text }) }) }];
    const before = ["cat /a/b/text", "cat /a/b/sub/text", "echo x > /a/b/text", "echo x > /a/b/new", "mkdir /a/b/new", "mkdir /a/b/sub", "cat /a/b/missing", "cat /a/b"];
    const run = runGuest("hello", { mounts, before });
    expect(run.operator).toBe("from the host\nfrom the host\n");
    expect(run.failures).toEqual([
      "echo x > /a/b/text: EROFS (Read-only file system)",
      "echo x > /a/b/new: EROFS (Read-only file system)",
      "mkdir /a/b/new: EROFS (Read-only file system)",
      "mkdir /a/b/sub: EEXIST (File exists)",
      "cat /a/b/missing: ENOENT (No such file or directory)",
      "cat /a/b: EISDIR (Is a directory)",
    ]);
  });

  test("hold the program itself, wherever it is", () => {
    for (const path of ["/bin/hello", "hello", "../x/hello", "/proc/self/hello", "/tmp/hello"]) {
      const run = runGuest("hello", { path, before: ["cat /proc/mounts"] });
      expect(run.exitCode).toBe(0);
      expect(run.operator).toMatch(/^hello \/.*hello virtiofs ro,relatime 0 0$/m);
    }
  });

  test("cannot be where names are made up", () => {
    for (const path of ["/", "/proc/host", "/sys/kernel/mm/host", "/dev/null", "/dev/null/host"]) {
      expect(() => mounted(path, directory({})), path).toThrow(MountError);
    }
    mounted("/dev/shm/host", directory({}));
    mounted("/tmp", directory({}));
  });
});
