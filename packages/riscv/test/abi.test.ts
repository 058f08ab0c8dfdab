import { describe, expect, test } from "vitest";
import { parseOperatorLine, SYSCALLS } from "../src/index.js";
import { runGuest, type GuestRun } from "./guest.js";

/** What must hold once a program has gone: nothing of it is left. */
function expectNothingLeft(run: GuestRun): void {
  const { m } = run.machine;
  expect([...m.mms].filter((mm) => mm.users > 0)).toEqual([]);
  expect([...m.tasks.values()].filter((t) => t.isUser)).toEqual([]);
  expect(m.swap.used).toBe(0);
}

describe("programs", () => {
  test("run, print, and report their status", () => {
    const run = runGuest("hello");
    expect(run.stdout).toBe("hello from a riscv64 program\n");
    expect(run.result).toEqual({ status: { code: 0 }, end: "exited", stuck: [] });
    expectNothingLeft(run);
  });

  test("get their arguments", () => {
    const run = runGuest("args", { args: ["one", "two words", ""] });
    expect(run.stdout).toBe("argv[0] = args\nargv[1] = one\nargv[2] = two words\nargv[3] = \n");
    expect(run.exitCode).toBe(4);
  });

  test("may be position independent", () => {
    for (const seed of [1, 2, 3]) expect(runGuest("pie", { seed }).stdout).toBe("moved and still right\n");
  });

  test("die of a bad access, with the address in the signal", () => {
    const run = runGuest("segv");
    expect(run.stdout).toBe("about to write to address 0\n");
    expect(run.exitCode).toBe(139);
    expect(run.strace.slice(-2)).toEqual([
      "--- SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=NULL} ---",
      "+++ killed by SIGSEGV +++",
    ]);
    expectNothingLeft(run);
  });

  test("count together on several CPUs and lose nothing", () => {
    for (const [seed, cpus] of [[1, 2], [2, 2], [3, 4], [4, 1]] as const) {
      const run = runGuest("counter", { seed, cpus, args: ["4", "20000"] });
      expect(run.stdout).toBe("4 threads, 20000 additions each: 80000\n");
      expect(run.exitCode).toBe(0);
      expectNothingLeft(run);
    }
  });

  test("count together with a device that keeps taking the page", () => {
    const run = runGuest("counter", { args: ["3", "5000", "device"] });
    expect(run.stdout).toBe("3 threads, 5000 additions each: 15000\nthe device took the page meanwhile\n");
  });

  test("run the same again with the same seed, and otherwise with another", () => {
    const [a, b, c] = [7, 7, 8].map((seed) => runGuest("counter", { seed, args: ["3", "2000"] }));
    expect(a!.strace).toEqual(b!.strace);
    expect(a!.machine.m.now()).toBe(b!.machine.m.now());
    expect(a!.strace).not.toEqual(c!.strace);
  });

  test("meet the OOM killer rather than the end of the host's memory", () => {
    const run = runGuest("oom", { swapBytes: 16 * 2 ** 20 });
    expect(run.exitCode).toBe(137);
    expect(run.machine.m.dmesg.lines.some((line) => line.includes("Out of memory: Killed process"))).toBe(true);
    expectNothingLeft(run);
  });
});

describe("system calls", () => {
  // The expected output is what the same source prints natively on Linux 6.18.
  test("answer good and bad arguments as Linux does", async () => {
    const run = runGuest("calls");
    await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/calls.txt");
    expect(run.exitCode).toBe(3);
  });

  test("deliver signals as Linux does", async () => {
    for (const seed of [1, 2, 3]) {
      const run = runGuest("signals", { seed });
      await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/signals.txt");
      expect(run.exitCode).toBe(143);
    }
  });

  test("make no more threads than an eighth of RAM has stacks for", () => {
    expect(runGuest("counter", { args: ["64", "1"], memoryBytes: 2 ** 20 }).stdout).toBe("clone failed: errno 11\n");
    expect(runGuest("counter", { args: ["64", "1"] }).exitCode).toBe(0);
  });

  test("that are unknown answer ENOSYS, and are named once in the log", () => {
    const { lines } = runGuest("calls").machine.m.dmesg;
    expect(lines.filter((line) => line.includes("system call number 9999 is not implemented"))).toHaveLength(1);
  });

  test("are printed as strace prints them", () => {
    const run = runGuest("calls");
    expect(run.strace.slice(0, 6)).toMatchInlineSnapshot(`
      [
        "umask(022)                              = 022",
        "mkdirat(AT_FDCWD, "/tmp/faultline-calls", 0755) = 0",
        "write(1, "mkdir: 0\\n", 9)               = 9",
        "mkdirat(AT_FDCWD, "/tmp/faultline-calls", 0755) = -1 EEXIST (File exists)",
        "write(1, "mkdir again: -17\\n", 17)      = 17",
        "chdir("/tmp/faultline-calls")           = 0",
      ]
    `);
    expect(run.strace.at(-1)).toBe("+++ exited with 3 +++");
  });

  test("have names, once each", () => {
    const names = [...SYSCALLS.values()].map((s) => s.name);
    expect(new Set(names).size).toBe(names.length);
    // A call that is refused is in the table to be named, and that is all there is to say of it.
    for (const s of SYSCALLS.values()) if (s.handler === null) expect(s.limits).toBe("");
  });
});

describe("the operator", () => {
  test("types when nothing can run, and the machine shuts down after the last line", () => {
    const run = runGuest("exclusive-swap", {
      args: ["4"],
      before: ["mkdir /sys/fs/cgroup/early", "echo early"],
      lines: ["echo $PID $$ 'single $PID' \"double $PID\"", "mkdir /tmp/a", "echo one > /tmp/a/f", "echo two >> /tmp/a/f", "cat /tmp/a/f"],
    });
    const pid = run.machine.program!.pid;
    expect(pid).toBeGreaterThan(2);
    const shell = run.machine.operator.process.pid;
    expect(run.operator).toBe(`early\n${pid} ${shell} single $PID double ${pid}\none\ntwo\n`);
    expect(run.failures).toEqual([]);
    expect(run.result.end).toBe("shutdown");
    expect(run.exitCode).toBe(0);
  });

  test("is told what failed", () => {
    const run = runGuest("exclusive-swap", { args: ["4"], lines: ["cat /nope", "mkdir /tmp", "kill -9 4194304", "echo x > /proc/version"] });
    expect(run.failures).toEqual([
      "cat /nope: ENOENT (No such file or directory)",
      "mkdir /tmp: EEXIST (File exists)",
      "kill -9 4194304: ESRCH (No such process)",
      expect.stringMatching(/^echo x > \/proc\/version: E[A-Z]+ \(/),
    ]);
  });

  test("does not read for ever", () => {
    const lines = ["cat /dev/zero", "cat /dev/random"];
    const output = { stdout: () => undefined, failure: (message: string) => failures.push(message) };
    const failures: string[] = [];
    runGuest("exclusive-swap", { args: ["4"], lines, lineTimeoutSeconds: 0.001, operatorOutput: output });
    expect(failures).toEqual(lines.map((line) => `${line}: EINTR (Interrupted system call)`));
  });

  test("has forgotten with the next line what was sent to the shell", () => {
    const run = runGuest("exclusive-swap", { args: ["4"], lines: ["kill -TERM $$", "cat /proc/self/comm"] });
    expect(run.failures).toEqual([]);
    expect(run.operator).toBe("sh\n");
  });

  test("can end a program that waits", () => {
    const run = runGuest("exclusive-swap", { args: ["4"], lines: ["kill -TERM $PID", "echo not reached"] });
    expect(run.exitCode).toBe(143);
    expect(run.operator).toBe("");
    expectNothingLeft(run);
  });

  test("is not waited for: a program that nobody will wake is stuck, and says where", () => {
    const run = runGuest("exclusive-swap", { args: ["4"] });
    expect(run.exitCode).toBe(124);
    expect(run.result.stuck).toHaveLength(1);
    expect(run.result.stuck[0]).toMatch(/^exclusive-swap\[\d+\] in \w+ waits for /);
  });

  test("understands four commands, and says what it does not understand", () => {
    expect(parseOperatorLine("echo  'a  b' \"c\" > /x")).toEqual({
      kind: "echo",
      text: "echo  'a  b' \"c\" > /x",
      words: "a  b c",
      path: "/x",
      append: false,
    });
    expect(parseOperatorLine("kill -KILL $PID")).toMatchObject({ kind: "kill", signal: 9, pids: ["$PID"] });
    expect(parseOperatorLine("kill -s INT 7")).toMatchObject({ signal: 2, pids: ["7"] });
    const wrong = ["", "rm /x", "cat", "cat /x > /y", "cat /x | wc", "echo 'x", "echo x >", "kill", "kill -FOO 1", "kill abc", "echo $HOME", "mkdir -p /x", "> /x",
      "cat /proc/*/maps", "echo x 2> /dev/null", "echo $1", "echo a\nb", "kill -9"];
    const refused = wrong.map((line) => [line, parseOperatorLine(line)]);
    for (const [, message] of refused) expect(message).toBeTypeOf("string");
    expect(Object.fromEntries(refused)).toMatchInlineSnapshot(`
      {
        "": "the line is empty",
        "> /x": "a line begins with a command, not with >",
        "cat": "cat needs a path",
        "cat /proc/*/maps": ""*" is not understood (cat, echo, mkdir and kill only, no pipes or patterns)",
        "cat /x > /y": "> is understood with echo only",
        "cat /x | wc": ""|" is not understood (cat, echo, mkdir and kill only, no pipes or patterns)",
        "echo $1": "$1 is not known ($PID and $$ are)",
        "echo $HOME": "$HOME is not known ($PID and $$ are)",
        "echo 'x": "a quote is not closed",
        "echo a
      b": "a line has no line breaks or NULs in it",
        "echo x 2> /dev/null": ""2>" is not understood (cat, echo, mkdir and kill only, no pipes or patterns)",
        "echo x >": "> needs a path",
        "kill": "kill needs a process, as in: kill -TERM $PID",
        "kill -9": "kill needs a process, as in: kill -TERM $PID",
        "kill -FOO 1": "-FOO is no signal",
        "kill abc": "abc is no process number",
        "mkdir -p /x": "mkdir takes no options, and -p looks like one",
        "rm /x": "rm is not known (cat, echo, mkdir and kill are)",
      }
    `);
  });
});

describe("memory of a program", () => {
  test("is laid out and named as maps shows it", () => {
    const run = runGuest("exclusive-swap", { args: ["4"], lines: ["cat /proc/$PID/maps"] });
    const names = run.operator.trim().split("\n").map((line) => line.split(/\s+/).slice(1, 2).concat(line.split(/\s+/).slice(5)).join(" "));
    expect(names).toContain("r-xp /bin/exclusive-swap");
    expect(names).toContain("r-xp [vdso]");
    expect(names).toContain("rw-p [stack]");
  });

  test("is swapped out and in again, code included", () => {
    const run = runGuest("exclusive-check", { args: ["8"], memoryBytes: 64 * 2 ** 20, lines: ["echo 64M > /sys/fs/cgroup/memory.reclaim", "kill -CONT $PID"] });
    expect(run.stdout + run.stderr).not.toContain("failed");
  });
});
