import { parseOperatorLine } from "@faultline/riscv";
import { expect, test } from "vitest";
import { Random } from "../packages/checker/test/fuzz.js";
import { Invariants } from "../packages/checker/src/invariants.js";
import { LockOrder } from "../packages/checker/src/lock_order.js";
import { runGuest, type GuestRun } from "../packages/riscv/test/guest.js";
import { drive, tree } from "./still.js";

const LINES = 10_000;
/** Lines of one machine. */
const BATCH = 250;
/** What the operator makes first, to have more files to write to. */
const BEFORE = ["mkdir /sys/fs/cgroup/a", "mkdir /sys/fs/cgroup/a/b", "mkdir /tmp/d", "echo text > /tmp/d/f", "echo +memory > /sys/fs/cgroup/a/cgroup.subtree_control"];
/** Takes 4 MiB, gives them to a device, and sleeps: every file about a process has something to say. */
const PROGRAM = "exclusive-swap";
const SETTINGS = { args: ["4"], before: BEFORE, lineTimeoutSeconds: 0.0005 };

const TEXTS = [
  "", " ", "0", "1", "2", "3", "-1", "+1", "00", "010", "0x10", "1.5", "1e9", "max", "MAX", "1G", "4K", "16777216", "1 2", "1,2", "never",
  "always", "madvise", "+memory", "-memory", "memory", "+cpu", "+memory -memory", "$PID", "$$", "18446744073709551615", "18446744073709551616",
  "9223372036854775808", "99999999999999999999999999", "-9223372036854775808", "-1000", "1000", "1001", "1M swappiness=max", "1M swappiness=0",
  "1M nodes=0", "swappiness=60", "online", "offline", "online_kernel", "online_movable", "1 ", "nan", "Infinity", "é", "💥", "a\tb", "%s%n", "x".repeat(5000),
];
const WORDS = [
  "cat", "echo", "mkdir", "kill", "rm", "ls", "CAT", "cat;", "exit", ">", ">>", "<", "|", "&", "&&", "2>", "'", '"', "\\", "\\\\", "`", "$(", "$", "$PID",
  "$$", "${PID}", "${PID", "$HOME", "$1", "$?", "-n", "--", "-", "-p", "#", "*", "?", "[", "]", "~", "!", "=", "A=1", "{a,b}", "''", '""', "a", "/", "/proc",
  "/dev/null", "\n", "\r", "\0", "\x1b[0m", "\ud800", "é", "1", "-9", "x".repeat(300),
];
const SIGNALS = ["0", "1", "9", "15", "18", "19", "31", "32", "33", "34", "64", "65", "-1", "99999999999", "KILL", "sigterm", "SIGSTOP", "RTMIN", "RTMAX", "FOO", "", "1.5"];
const PIDS = ["0", "1", "2", "3", "$$", "-1", "-2", "-$$", "99999", "4194304", "2147483647", "2147483648", "4294967297", "-2147483648", "99999999999999999999", "1x", "", "+1", "007"];

/** An operator who types anything. */
class Typist {
  constructor(
    private readonly random: Random,
    private readonly paths: readonly string[],
  ) {}

  line(): string {
    const { random } = this;
    switch (random.below(10)) {
      case 0:
        return Array.from({ length: random.below(6) }, () => random.pick(WORDS)).join(random.below(4) === 0 ? "" : " ");
      case 1:
      case 2:
      case 3:
        return `cat ${this.path()}${random.below(8) === 0 ? ` ${this.path()}` : ""}`;
      case 4:
        return `mkdir ${random.below(4) === 0 ? random.pick(this.paths) : `${random.pick(this.paths)}/${random.pick(["x", "y", ".", "..", "é", "z".repeat(256), "a\\ b"])}`}`;
      case 5:
        return `kill ${random.pick(["-", "-s ", "-", "--", ""])}${random.pick(SIGNALS)} ${random.below(40) === 0 ? "$PID" : random.pick(PIDS)}`;
      default:
        return `echo '${random.pick(TEXTS)}' ${random.pick([">", ">", ">>"])} ${this.path()}`;
    }
  }

  private path(): string {
    const { random } = this;
    const path = random.pick(this.paths);
    switch (random.below(16)) {
      case 0:
        return `${path}/`;
      case 1:
        return `${path}/../${random.pick(["x", "..", "."])}`;
      case 2:
        return `/${path}`;
      case 3:
        return random.pick(["/", ".", "nope", "/nope/nope", `/${"a".repeat(256)}`, "/a".repeat(2100), "''", "/proc/self/status", "/proc/self/comm", "/proc/$PID/maps"]);
      default:
        return path;
    }
  }
}

/** The rules that the machine breaks as it stands, after its last program. */
function broken(machine: GuestRun["machine"]): string[] {
  const found: string[] = [];
  const report = ({ kind, message }: { kind: string; message: string }): void => void found.push(`${kind}: ${message}`);
  new Invariants(machine.k, [], new LockOrder(report), report).atRest();
  return found;
}

test(`${LINES} wrong and odd lines: an answer of one line each, and the machine is well`, () => {
  const idle = runGuest(PROGRAM, SETTINGS);
  expect(idle.result.end).toBe("stuck");
  const paths = drive(tree(idle.machine.k, "/"));
  expect(paths).toContain("/sys/fs/cgroup/a/b/memory.reclaim");
  expect(paths).toContain(`/proc/${idle.machine.program!.pid}/oom_score_adj`);

  const answers = new Map<string, number>();
  const count = (answer: string): void => void answers.set(answer, (answers.get(answer) ?? 0) + 1);
  let typed = 0;
  for (let seed = 1; typed < LINES; seed++) {
    const typist = new Typist(new Random(seed), paths);
    const lines: string[] = [];
    while (lines.length < BATCH) {
      const text = typist.line();
      const line = parseOperatorLine(text);
      if (typeof line !== "string") lines.push(text);
      else {
        typed++;
        count("refused");
        expect(line, JSON.stringify(text)).toMatch(/^[^\n]+$/);
      }
    }
    const run = runGuest(PROGRAM, {
      ...SETTINGS,
      lines,
      seed,
      // What cat finds in /dev/zero is not for keeping.
      operatorOutput: {
        stdout: () => undefined,
        failure: (message) => {
          const answer = /^[^\n]+: (E[A-Z0-9]+) \([^()\n]+\)$/.exec(message);
          count(answer?.[1] ?? message);
        },
        ended: () => typed++,
      },
    });
    // A line may end the program, and the machine with it; none may leave it stuck.
    expect(run.result.end, `seed ${seed}`).toMatch(/^(shutdown|exited)$/);
    expect(broken(run.machine), `seed ${seed}`).toEqual([]);
  }
  // No other answers; files added later may well add to them.
  const known = "refused EACCES EAGAIN EBUSY EEXIST EFAULT EINTR EINVAL EIO EISDIR ENAMETOOLONG ENODEV ENOENT ENOMEM ENOSPC ENOTDIR ENXIO EPERM ERANGE EROFS ESRCH";
  expect([...answers.keys()].filter((answer) => !known.split(" ").includes(answer))).toEqual([]);
  expect(answers.size).toBeGreaterThan(10);
});
