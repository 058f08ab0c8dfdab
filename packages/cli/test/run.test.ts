import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { faultline, prebuilt, startFaultline } from "./command.js";

const SMALL = ["--memory", "64M", "--swap", "64M"];

describe("a program's output and status are the command's", () => {
  test("output", () => {
    expect(faultline(["run", prebuilt("hello")])).toEqual({ status: 0, stdout: "hello from a riscv64 program\n", stderr: "" });
  });

  test("arguments: options end at the program", () => {
    expect(faultline(["run", "--seed", "3", prebuilt("args"), "--memory", "-x", "--", "--help"])).toMatchInlineSnapshot(`
      {
        "status": 5,
        "stderr": "",
        "stdout": "argv[0] = programs/prebuilt/args
      argv[1] = --memory
      argv[2] = -x
      argv[3] = --
      argv[4] = --help
      ",
      }
    `);
    expect(faultline(["run", "--", prebuilt("args")]).status).toBe(1);
  });

  test("a position-independent program", () => {
    expect(faultline(["run", prebuilt("pie")]).stdout).toBe("moved and still right\n");
  });

  test("a signal's number is added to 128", () => {
    expect(faultline(["run", prebuilt("segv")])).toEqual({ status: 139, stdout: "about to write to address 0\n", stderr: "" });
  });

  test("threads lose no addition, with and without a device", () => {
    expect(faultline(["run", prebuilt("counter"), "4", "5000"])).toEqual({
      status: 0,
      stdout: "4 threads, 5000 additions each: 20000\n",
      stderr: "",
    });
    expect(faultline(["run", prebuilt("counter"), "4", "5000", "device"]).stdout).toBe(
      "4 threads, 5000 additions each: 20000\nthe device took the page meanwhile\n",
    );
  });

  test("out of memory: the OOM killer, not the host", () => {
    const { status, stdout, stderr } = faultline(["run", ...SMALL, "--dmesg", prebuilt("oom")]);
    expect({ status, stdout }).toEqual({ status: 137, stdout: "" });
    expect(stderr).toMatch(/^\[ +\d+\.\d{6}\] Out of memory: Killed process \d+ \(oom\) total-vm:/m);
  });

  test("stuck for good: 124, and where each thread waits", () => {
    expect(faultline(["run", ...SMALL, prebuilt("exclusive-swap"), "2"])).toMatchInlineSnapshot(`
      {
        "status": 124,
        "stderr": "faultline: every thread is stuck for good:
        exclusive-swap[6] in ppoll waits for a signal or a timeout
      ",
        "stdout": "touched 512 pages
      made 512 pages exclusive
      ",
      }
    `);
  });

  test("the same seed gives the same run, to the last system call", () => {
    const run = (seed: string): string =>
      faultline(["run", "--seed", seed, "--strace", "--dmesg", prebuilt("counter"), "3", "500", "device"]).stderr;
    expect(run("7")).toBe(run("7"));
  });

  test("--strace goes to standard error", () => {
    expect(faultline(["run", "--strace", prebuilt("hello")])).toMatchInlineSnapshot(`
      {
        "status": 0,
        "stderr": "write(1, "hello from a riscv64 program\\n", 29) = 29
      exit_group(0)                           = ?
      +++ exited with 0 +++
      ",
        "stdout": "hello from a riscv64 program
      ",
      }
    `);
  });
});

describe("the operator's lines", () => {
  test("--do waits until nothing else can run, then the machine is shut down", () => {
    const { status, stdout, stderr } = faultline([
      "run", ...SMALL, "--do", "echo $PID", "--do", "cat /proc/$PID/comm", prebuilt("exclusive-swap"), "4",
    ]);
    expect({ status, stdout, stderr }).toMatchInlineSnapshot(`
      {
        "status": 0,
        "stderr": "",
        "stdout": "touched 1024 pages
      made 1024 pages exclusive
      6
      exclusive-swap
      ",
      }
    `);
  });

  test("a failing line is named with its error, and the next one runs", () => {
    expect(faultline(["run", ...SMALL, "--do", "cat /nothere", "--do", "echo on", prebuilt("exclusive-swap"), "2"])).toMatchInlineSnapshot(`
      {
        "status": 0,
        "stderr": "cat /nothere: ENOENT (No such file or directory)
      ",
        "stdout": "touched 512 pages
      made 512 pages exclusive
      on
      ",
      }
    `);
  });

  test("--before runs ahead of the program", () => {
    expect(faultline(["run", "--before", "mkdir /tmp/a", "--before", "echo first", prebuilt("hello")]).stdout).toBe(
      "first\nhello from a riscv64 program\n",
    );
  });

  test("--mount shares a directory, read-only", () => {
    expect(faultline(["run", "--mount", "programs/include:/data", "--before", "echo > /data/new", "--before", "cat /data/smaps.h", prebuilt("hello")])).toMatchObject({
      status: 0,
      stdout: `${readFileSync("programs/include/smaps.h", "utf8")}hello from a riscv64 program\n`,
      stderr: "echo > /data/new: EROFS (Read-only file system)\n",
    });
  });

  test("a signal sent by the last line has its effect", () => {
    expect(faultline(["run", ...SMALL, "--do", "kill -TERM $PID", prebuilt("exclusive-swap"), "2"]).status).toBe(143);
  });

  test("every byte survives exclusive access and reclaim, on each release", () => {
    for (const release of ["7.3", "6.14", "6.1"]) {
      const { status, stdout } = faultline([
        "run", "--release", release, ...SMALL,
        "--do", "echo 12M > /sys/fs/cgroup/memory.reclaim", "--do", "kill -CONT $PID", prebuilt("exclusive-check"), "16",
      ]);
      expect({ release, status, stdout }).toEqual({
        release,
        status: 0,
        stdout:
          "exclusive: 2097152 words, 0 wrong\nthe device reads: 2097152 words, 0 wrong\nthe CPU reads: 2097152 words, 0 wrong\n",
      });
    }
  });

  test("device-exclusive memory is reclaimed since the series of 2025, and was not before", () => {
    const rollup = (release: string): { kB: number[]; stderr: string } => {
      const { stdout, stderr } = faultline([
        "run", "--release", release, "--memory", "192M", "--swap", "192M",
        "--do", "echo 64M > /sys/fs/cgroup/memory.reclaim", "--do", "cat /proc/$PID/smaps_rollup", prebuilt("exclusive-swap"), "64",
      ]);
      return { kB: [...stdout.matchAll(/^(?:Rss|Swap): +(\d+) kB$/gm)].map((m) => Number(m[1])), stderr };
    };
    const before = rollup("6.14");
    expect(before.stderr).toBe("echo 64M > /sys/fs/cgroup/memory.reclaim: EAGAIN (Resource temporarily unavailable)\n");
    expect(before.kB[0]).toBeGreaterThanOrEqual(65536);
    expect(before.kB[1]).toBeLessThan(3000);
    const after = rollup("7.3");
    expect(after.stderr).toBe("");
    expect(after.kB[0]).toBeLessThan(3000);
    expect(after.kB[1]).toBeGreaterThanOrEqual(64000);
  });
});

describe("a memory block of exclusive pages goes offline", () => {
  const state = "/sys/devices/system/memory/memory18/state";
  const attempt = (release: string) =>
    faultline([
      "run", "--release", release, "--memory", "512M", "--swap", "64M", "--dmesg",
      "--before", `echo offline > ${state}`, "--before", `echo online_movable > ${state}`,
      "--do-timeout", "1", "--do", `echo offline > ${state}`, "--do", `cat ${state}`, prebuilt("exclusive-swap"), "16",
    ]);

  test("on 6.14 not before a signal comes, and the log shows who allocated a page", () => {
    const { status, stdout, stderr } = attempt("6.14");
    expect({ status, stdout }).toEqual({ status: 0, stdout: "touched 4096 pages\nmade 4096 pages exclusive\nonline\n" });
    expect(stderr).toContain(`echo offline > ${state}: EINTR (Interrupted system call)\n`);
    expect(stderr.match(/ page dumped because: migration failure$/gm)).toHaveLength(10);
    expect(stderr).toMatch(/ page: refcount:2 mapcount:0 mapping:0{16} index:0x[\da-f]+ pfn:0x9[\da-f]{4}$/m);
    expect(stderr).toMatch(/ gfp_mask 0x140dca\(GFP_HIGHUSER_MOVABLE\|__GFP_ZERO\|__GFP_COMP\), pid 6, tgid 6 \(exclusive-swap\), /);
    expect(stderr).toMatch(/\] {2}do_anonymous_page$/m);
  });

  test("on 7.3 at once", () => {
    const { status, stdout, stderr } = attempt("7.3");
    expect({ status, stdout }).toEqual({ status: 0, stdout: "touched 4096 pages\nmade 4096 pages exclusive\noffline\n" });
    expect(stderr).not.toMatch(/EINTR|dumped/);
  });
});

describe("the host's side", () => {
  test("Ctrl-C ends a program that spins for ever", async () => {
    for (const cpus of ["1", "2"]) {
      const child = startFaultline(["run", "--cpus", cpus, "--dmesg", "--before", "echo ready", prebuilt("spin")]);
      let stderr = "";
      child.stderr!.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
      await new Promise((resolve) => child.stdout!.once("data", resolve));
      child.kill("SIGINT");
      const status = await new Promise((resolve) => child.on("close", resolve));
      expect({ cpus, status, stderr }).toEqual({ cpus, status: 130, stderr: "" });
    }
  });

  test("a reader that goes away is no failure to talk about", async () => {
    const child = startFaultline(["run", "--strace", prebuilt("bench-fault"), "200"]);
    let stderr = "";
    child.stdout!.destroy();
    child.stderr!.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    const status = await new Promise((resolve) => child.on("close", resolve));
    expect(status).toBeOneOf([0, 141]);
    expect(stderr).not.toMatch(/EPIPE|^ +at /m);
  });
});
