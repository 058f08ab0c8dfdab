import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import mirror from "../../../scenarios/drivers/mirror.js";
import { driverFault } from "../src/driver_file.js";
import { faultline, prebuilt, ROOT, withFiles } from "./command.js";

const DRIVERS = join(ROOT, "scenarios/drivers");
const MIRROR = join(ROOT, prebuilt("mirror"));
const RACE = join(ROOT, "scenarios/driver-mirror-vs-dontneed.ts");

const GOOD = `
import { driver, Errno } from "@faultline/kernel/driver";

export default driver({
  name: "refuse",
  devices: [{ name: "mirror0", mode: 0o666 }],
  file: {
    *ioctl(k) {
      k.m.dmesg.print("refused");
      return -Errno.EACCES;
    },
  },
  debugfs: {
    said: {
      *show() {
        return "hello from a driver\\n";
      },
    },
  },
});
`;

const head = 'import { driver } from "@faultline/kernel/driver";\n';
const js = (text: string): string => `export default ${text};\n`;

const BAD = {
  "throws.ts": 'throw new Error("kaput");\nexport {};\n',
  "nothing.ts": "export const name = 1;\n",
  "syntax.ts": "export default = ;\n",
  "import.ts": 'import { nothing } from "@faultline/kernel/driver";\nexport default nothing;\n',
  "types.ts": `${head}export default driver({ name: "x", devices: [{ name: "x0" }], file: { ioctl: 3 } });\n`,
  "fields.ts": `${head}export default driver({ name: "x", devices: [{ name: "x0" }] });\n`,
  "shape.js": js("3"),
};

/** What the compiler lets pass, in JavaScript that is. */
const FAULTY: readonly unknown[] = [
  { name: "Not This", devices: [{ name: "x0" }], file: {} },
  { name: "x", devices: [], file: {} },
  { name: "x", devices: [{ name: "a/b" }], file: {} },
  { name: "x", devices: [{ name: "hmm_dmirror0" }], file: {} },
  { name: "x", devices: [{ name: "x0" }, { name: "x0" }], file: {} },
  { name: "x", devices: [{ name: "x0", mode: 4096 }], file: {} },
  { name: "x", devices: [{ name: "x0", memory: "much" }], file: {} },
  { name: "x", devices: [{ name: "x0", memory: 0 }], file: {} },
  { name: "x", devices: [{ name: "x0" }], file: { open: 1 } },
  { name: "x", devices: [{ name: "x0" }], file: {}, invalidate: true },
  { name: "x", devices: [{ name: "x0" }], file: {}, operations: { go: 1 } },
  { name: "x", devices: [{ name: "x0" }], file: {}, colour: "red" },
];

describe("--driver", () => {
  test("the driver of docs/drivers.md serves a program", () => {
    expect(faultline(["run", "--driver", join(DRIVERS, "mirror.ts"), MIRROR])).toEqual({
      status: 0,
      stdout:
        "the CPU writes 1, the device reads 1\nthe CPU writes 2, the device reads 2\nthe device writes 3: 0, the CPU reads 3\n" +
        "after MADV_DONTNEED the device reads 0\nafter munmap() it gets -14\n",
      stderr: "",
    });
  });

  test("without it there is no device", () => {
    expect(faultline(["run", MIRROR])).toEqual({ status: 1, stdout: "open /dev/mirror0 failed: errno 2\n", stderr: "" });
  });

  test("one is loaded from whatever folder it is in, with files of its own", () => {
    withFiles({ "mine.ts": GOOD }, (folder) => {
      const args = ["run", "--dmesg", "--driver", "mine.ts", "--before", "cat /sys/kernel/debug/refuse/said", MIRROR];
      const { status, stdout, stderr } = faultline(args, { cwd: folder });
      expect(status).toBe(0);
      expect(stdout).toMatch(/^hello from a driver\nthe CPU writes 1, the device reads -13\n/);
      expect(stderr).toMatch(/refused\n/);
    });
  });

  test("a bad one is refused in one line that names it", () => {
    withFiles(BAD, (folder) => {
      const said = ["missing.ts", ...Object.keys(BAD)].map((name) => {
        const { status, stdout, stderr } = faultline(["run", "--driver", name, MIRROR], { cwd: folder });
        expect({ name, status, stdout }).toEqual({ name, status: 125, stdout: "" });
        expect(stderr).toMatch(/^faultline: [^\n]+\n$/);
        return stderr.trimEnd();
      });
      expect(said).toMatchInlineSnapshot(`
        [
          "faultline: driver missing.ts: no such file",
          "faultline: driver throws.ts: cannot be loaded: kaput",
          "faultline: driver nothing.ts: it has no default export: write export default driver({ … })",
          "faultline: driver syntax.ts: 1:16: Expression expected.",
          "faultline: driver import.ts: 1:10: Module '"@faultline/kernel/driver"' has no exported member 'nothing'.",
          "faultline: driver types.ts: 2:71: Type 'number' is not assignable to type '(k: Kernel, file: OpenFile, cmd: number, arg: number) => MaySleep<number>'.",
          "faultline: driver fields.ts: 2:23: Argument of type '{ name: string; devices: { name: string; }[]; }' is not assignable to parameter of type 'Driver'. Property 'file' is missing in type '{ name: string; devices: { name: string; }[]; }' but required in type 'Driver'.",
          "faultline: driver shape.js: its default export is no driver",
        ]
      `);
    });
  });

  test("one that does not come back from being loaded is ended, in one line that names it", () => {
    const files = {
      "endless.ts": "for (;;);\nexport {};\n",
      "greedy.ts": "const all: number[][] = [];\nfor (;;) all.push(new Array<number>(1000).fill(1.5));\nexport {};\n",
      "awaits.js": "await new Promise(() => {});\nexport default {};\n",
      "exits.js": "process.exit(3);\nexport default {};\n",
    };
    withFiles(files, (folder) => {
      const env = { NODE_OPTIONS: "--max-old-space-size=400" };
      const said = Object.keys(files).map((name) => faultline(["run", "--driver", name, MIRROR], { cwd: folder, env }));
      expect(said).toEqual(
        [
          "endless.ts: runs on for 10 seconds while it is loaded: a loop in it does not end",
          "greedy.ts: takes more memory than there is while it is loaded",
          "awaits.js: awaits what never comes while it is loaded",
          "exits.js: ends the process while it is loaded (process.exit(3))",
        ].map((problem) => ({ status: 125, stdout: "", stderr: `faultline: driver ${problem}\n` })),
      );
    });
  });

  test("Ctrl-C says in which system call, or fault, one goes on and on", () => {
    const endless = 'process.kill(process.pid, "SIGINT"); for (;;) yield SWITCH;';
    const files = {
      "driver.js": `import { driver, SWITCH } from "@faultline/kernel/driver";
export default driver({ name: "live", devices: [{ name: "mirror0", mode: 0o666 }], file: { *ioctl() { ${endless} } } });
`,
      "patch.js": `import { SWITCH } from "@faultline/kernel";
export default (base) => ({ memory: { *handleMmFault(k, ...rest) { if (k.m.current.thread.faultPc >= 0) { ${endless} } return yield* base.memory.handleMmFault(k, ...rest); } } });
`,
    };
    withFiles(files, (folder) => {
      const said = (...args: readonly string[]): ReturnType<typeof faultline> => faultline(["run", ...args, MIRROR], { cwd: folder });
      expect(said("--driver", "driver.js")).toEqual({ status: 130, stdout: "", stderr: expect.stringMatching(/^faultline: interrupted while the kernel ran for mirror\[\d+\] in ioctl\(\)\n$/) as string });
      expect(said("--patch", "patch.js")).toEqual({ status: 130, stdout: "", stderr: expect.stringMatching(/^faultline: interrupted while the kernel ran for mirror\[\d+\] in a page fault at pc 0x[0-9a-f]+\n$/) as string });
    });
  });

  test("what is wrong with one is said in words", () => {
    expect(FAULTY.map(driverFault)).toMatchInlineSnapshot(`
      [
        "its name must be a word of lower-case letters, digits and _",
        "its devices must be an array of { name }, with one at least",
        "the name of a device must be letters, digits, - and _",
        "there is a device hmm_dmirror0 already",
        "it has two devices x0",
        "the mode of device x0 must be a number up to 0o777",
        "the memory of device x0 must be a MemoryType",
        "the memory of device x0 is device-private: it must have memory.migrateToRam, which brings a page back for a CPU",
        "file.open must be a function",
        "its invalidate must be a generator function",
        "operations.go must be a generator function",
        "a driver has no 'colour': there are name, devices, file, invalidate, memory, execute, operations, debugfs, lockClass",
      ]
    `);
    expect(driverFault(mirror)).toBeNull();
  });

  test("so are two that cannot be there at once", () => {
    withFiles({ "one.js": js('{ name: "x", devices: [{ name: "x0" }], file: {} }'), "two.js": js('{ name: "y", devices: [{ name: "x0" }], file: {} }') }, (folder) => {
      const both = (other: string): unknown => faultline(["run", "--driver", "one.js", "--driver", other, MIRROR], { cwd: folder }).stderr;
      expect(both("two.js")).toBe("faultline: driver two.js: one.js has a device x0 already\n");
      expect(both("one.js")).toBe("faultline: driver one.js: one.js is a driver x already\n");
    });
  });

  test("one that throws is blamed by name, in a program and in a scenario", () => {
    const boom = readFileSync(join(DRIVERS, "mirror.ts"), "utf8").replace("const mirror = file.data as DeviceMirror;\n    const { mutex }", 'if (k.m.now() >= 0) throw new Error("boom");\n    const mirror = file.data as DeviceMirror;\n    const { mutex }');
    withFiles({ "boom.ts": boom, "mine.ts": 'export { default } from "./boom.js";\n' }, (folder) => {
      for (const name of ["boom.ts", "mine.ts"]) {
        const { status, stdout, stderr } = faultline(["run", "--driver", name, MIRROR], { cwd: folder });
        expect({ status, stdout }).toEqual({ status: 125, stdout: "" });
        expect(stderr).toMatch(/^faultline: driver boom\.ts: line \d+: threw while the program ran: boom\n$/);
      }
      const { status, stdout, stderr } = faultline(["check", RACE, "--driver", "boom.ts", "--workers", "1"], { cwd: folder });
      expect({ status, stdout }).toEqual({ status: 125, stdout: "" });
      expect(stderr).toMatch(/^faultline: driver boom\.ts: line \d+: threw in a schedule: Error: boom\n$/);
    });
  });

  test("mistakes in how the kernel is called are told in one line, with the line of the driver", () => {
    const head = 'import { driver, type DeviceMirror } from "@faultline/kernel/driver";\nimport mirror, { mirrorFault } from "./mirror.js";\n';
    const operation = (body: string): string => `${head}export default driver({ ...mirror, operations: { *load32(k, file, addr) { const own = file.data as DeviceMirror; ${body} } } });\n`;
    const mistakes = {
      "idle.ts": operation("mirrorFault(k, own, addr / 4096, false); return 0;"),
      "unlock.ts": operation("if (!own.mutex.tryUnlock()) yield* own.mutex.unlock(); return 0;"),
      "no-engine.ts": operation("return yield* k.device.queueJob(k, own.device, {});"),
      "address.ts": operation("return yield* k.device.deviceLoad32(k, own, NaN, 3);"),
      "plain.ts": `${head}export default driver({ ...mirror, operations: { load32: (() => 1) as never } });\n`,
    };
    withFiles({ ...mistakes, "mirror.ts": readFileSync(join(DRIVERS, "mirror.ts"), "utf8") }, (folder) => {
      const said = Object.keys(mistakes).map((name) => {
        const { status, stdout, stderr } = faultline(["check", RACE, "--driver", name, "--workers", "1"], { cwd: folder });
        expect({ name, status, stdout }).toEqual({ name, status: 125, stdout: "" });
        return stderr.replace(RACE, "RACE");
      });
      expect(said.join("")).toMatchInlineSnapshot(`
        "faultline: driver idle.ts: 3:114: mirrorFault() is a generator, and does nothing without yield* in front of it
        faultline: driver unlock.ts: line 3: threw in a schedule: Error: mutex device_mirror is released, and nobody holds it
        faultline: driver no-engine.ts: line 3: queueJob(), which it calls there, threw in a schedule: RangeError: device mirror0 has no engine: its driver mirror has no execute()
        faultline: driver address.ts: line 3: deviceLoad32(), which it calls there, threw in a schedule: RangeError: NaN is no address of a 32-bit word
        faultline: scenario RACE: line 31: engine: operation 'load32' of driver mirror is no generator function: write *load32(k, file) { … }
        "
      `);
    });
  });

  test("an exception that some orders only lead to is told as what it is: a rule broken, with the order", () => {
    const driver = `import { driver, type DeviceMirror } from "@faultline/kernel/driver";
import mirror from "./mirror.js";
export default driver({
  ...mirror,
  file: {
    ...mirror.file,
    *release(k, file) {
      yield* mirror.file.release!(k, file);
    },
  },
  operations: {
    *count(k, file) {
      let n = 0;
      for (let i = 0; i < 2; i++) n += (yield* k.device.deviceLookup(k, file.data as DeviceMirror, i)) === undefined ? 0 : 1;
      return n;
    },
  },
});
`;
    const race = `import { scenario } from "@faultline/checker";
export default scenario({
  title: "a close against a device",
  machine: { cpus: 1, devices: 0 },
  *setup(t) {
    return { fd: yield* t.open("mirror0") };
  },
  threads: {
    device: { on: { device: "mirror0" }, *run(t, s) { yield* t.engine(s.fd, "count"); } },
    close: { on: { cpu: 0 }, *run(t, s) { yield* t.close(s.fd); } },
  },
});
`;
    withFiles({ "driver.ts": driver, "race.ts": race, "mirror.ts": readFileSync(join(DRIVERS, "mirror.ts"), "utf8") }, (folder) => {
      const { status, stdout, stderr } = faultline(["check", "race.ts", "--driver", "driver.ts", "--workers", "1"], { cwd: folder });
      expect({ status, stderr }).toEqual({ status: 1, stderr: "" });
      expect(stdout).toContain("VIOLATION (engine): driver driver.ts: line 14: deviceLookup(), which it calls there, threw in a schedule: RangeError: the table of mirror0 is read after its driver has given the mirror up: use after free\n");
      const again = /faultline (check .*--replay \S+)/.exec(stdout)![1]!;
      expect(faultline(again.split(" "), { cwd: folder }).stdout).toContain("VIOLATION (engine): driver driver.ts: line 14:");
    });
  });

  test("check has it in the place of the scenario's own, and says how to see it again", () => {
    const { status, stdout } = faultline(["check", RACE, "--driver", "scenarios/drivers/broken/no-retry.ts", "--workers", "1"]);
    expect(status).toBe(1);
    expect(stdout).toContain("kernel      7.3 --driver scenarios/drivers/broken/no-retry.ts\n");
    expect(stdout).toContain("VIOLATION (notifier-protocol): device enters frame");
    const again = /^ {2}faultline (check .*)$/m.exec(stdout)![1]!.split(" ");
    expect(again).toContain("--driver");
    expect(faultline(again).stdout).toContain("VIOLATION (notifier-protocol): device enters frame");
  });

  test("what is recorded or written of a run or a finding names it", () => {
    const mirror = readFileSync(join(DRIVERS, "mirror.ts"), "utf8");
    const broken = readFileSync(join(DRIVERS, "broken/no-retry.ts"), "utf8").replace("../mirror.js", "./mirror.js");
    withFiles({ "mirror.ts": mirror, "no-retry.ts": broken }, (folder) => {
      const described = (file: string): string => faultline(["trace", file], { cwd: folder }).stdout;
      expect(faultline(["run", "--driver", "mirror.ts", "--trace", "run.fltrace", MIRROR], { cwd: folder }).status).toBe(0);
      expect(described("run.fltrace")).toMatch(/^kernel +7\.3 --driver mirror\.ts$/m);
      expect(faultline(["check", RACE, "--driver", "no-retry.ts", "--workers", "1", "--trace", "found.fltrace", "--emit-c", "found.c"], { cwd: folder }).status).toBe(1);
      expect(described("found.fltrace")).toMatch(/^kernel +7\.3 --driver no-retry\.ts$/m);
      expect(readFileSync(join(folder, "found.c"), "utf8")).toMatch(/^ \* kernel +7\.3, with no-retry\.ts$/m);
    });
  });

  test("a saved exploration is not gone on with after it has changed", () => {
    const mirror = readFileSync(join(DRIVERS, "mirror.ts"), "utf8");
    withFiles({ "mirror.ts": mirror, "mine.ts": 'export { default } from "./mirror.js";\n' }, (folder) => {
      const resume = (): ReturnType<typeof faultline> =>
        faultline(["check", RACE, "--driver", "mine.ts", "--workers", "1", "--executions", "40", "--resume"], { cwd: folder, env: { XDG_STATE_HOME: folder } });
      expect(resume().status).toBe(0);
      writeFileSync(join(folder, "mirror.ts"), `${mirror}// changed\n`);
      expect(resume()).toEqual({ status: 125, stdout: "", stderr: expect.stringMatching(/^faultline: --resume: [^\n]* a driver, [^\n]* has changed since: [^\n]*\n$/) as string });
    });
  });

  test("a scenario whose device is not there is told what to do", () => {
    const scenario = 'import { scenario } from "@faultline/checker";\nexport default scenario({ title: "x", *setup() {}, threads: { a: { on: { device: "mine" }, *run() {} } } });\n';
    withFiles({ "mine.ts": scenario }, (folder) => {
      expect(faultline(["check", "mine.ts"], { cwd: folder }).stderr).toBe("faultline: scenario mine.ts: thread 'a' is to run on device 'mine', and there is no driver: give it with --driver\n");
    });
  });
});
