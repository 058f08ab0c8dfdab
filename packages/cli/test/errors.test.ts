import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ElfError, parseElf } from "@faultline/riscv";
import { faultline, prebuilt, ROOT, withFiles } from "./command.js";

/** The one line of a complaint; fails when there is more than that. */
function complaint(args: readonly string[], cwd = ROOT): string {
  const { status, stdout, stderr } = faultline(args, { cwd });
  expect({ args, status, stdout }).toEqual({ args, status: 125, stdout: "" });
  expect(stderr).toMatch(/^faultline: [^\n]+\n$/);
  return stderr.slice("faultline: ".length, -1);
}

const HELLO = prebuilt("hello");

describe("bad input: one line that says what and why, status 125", () => {
  test("the command line", () => {
    const wrong = [
      ["frobnicate"],
      ["--bogus"],
      ["run"],
      ["run", "--bogus", HELLO],
      ["run", "--memry", "3G", HELLO],
      ["run", "--memory"],
      ["run", "--memory", "5G", HELLO],
      ["run", "--memory", "lots", HELLO],
      ["run", "--memory", "5000", HELLO],
      ["run", "--memory", "0", HELLO],
      ["run", "--swap", "-1", HELLO],
      ["run", "--cpus", "0", HELLO],
      ["run", "--cpus", "1.5", HELLO],
      ["run", "--mount", "programs", HELLO],
      ["run", "--mount", "programs:data", HELLO],
      ["run", "--mount", "programs:/", HELLO],
      ["run", "--mount", "missing:/data", HELLO],
      ["run", "--mount", "package.json:/data", HELLO],
      ["run", "--mount", "programs:/proc/x", HELLO],
      ["run", "--seed", "x", HELLO],
      ["run", "--do-timeout", "0", HELLO],
      ["run", "--release", "5.4", HELLO],
      ["run", "--without", "nothing", HELLO],
      ["run", "--without", "mkclean-exclusive", HELLO],
      ["patches", "all"],
    ];
    expect(wrong.map((args) => `${args.join(" ")} → ${complaint(args)}`)).toMatchInlineSnapshot(`
      [
        "frobnicate → unknown command 'frobnicate'",
        "--bogus → unknown option '--bogus'",
        "run → missing required argument 'PROGRAM'",
        "run --bogus programs/prebuilt/hello → unknown option '--bogus'",
        "run --memry 3G programs/prebuilt/hello → unknown option '--memry' (Did you mean --memory?)",
        "run --memory → option '--memory <SIZE>' argument missing",
        "run --memory 5G programs/prebuilt/hello → --memory '5G': a machine has 4G at most",
        "run --memory lots programs/prebuilt/hello → --memory 'lots': sizes are written as 2G, 512M, 64K, or a number of bytes",
        "run --memory 5000 programs/prebuilt/hello → --memory '5000': it is not a multiple of 4K",
        "run --memory 0 programs/prebuilt/hello → --memory '0': a machine has 1M at least",
        "run --swap -1 programs/prebuilt/hello → --swap '-1': sizes are written as 2G, 512M, 64K, or a number of bytes",
        "run --cpus 0 programs/prebuilt/hello → --cpus '0': it must be a whole number from 1 to 16",
        "run --cpus 1.5 programs/prebuilt/hello → --cpus '1.5': it must be a whole number from 1 to 16",
        "run --mount programs programs/prebuilt/hello → --mount 'programs': wanted as HOST:GUEST, two directories",
        "run --mount programs:data programs/prebuilt/hello → --mount 'programs:data': the guest's directory is wanted from the root, as in HOST:/data",
        "run --mount programs:/ programs/prebuilt/hello → --mount 'programs:/': the guest's own files are at /; choose a directory below",
        "run --mount missing:/data programs/prebuilt/hello → --mount missing:/data: missing is not there",
        "run --mount package.json:/data programs/prebuilt/hello → --mount package.json:/data: package.json is no directory",
        "run --mount programs:/proc/x programs/prebuilt/hello → --mount: nothing can be mounted at /proc/x",
        "run --seed x programs/prebuilt/hello → --seed 'x': it must be a whole number from 0 to 4294967295",
        "run --do-timeout 0 programs/prebuilt/hello → --do-timeout '0': it must be a number of seconds, more than 0 and at most 1000000",
        "run --release 5.4 programs/prebuilt/hello → unknown release '5.4': there are 7.3, 6.18, 6.14, 6.1",
        "run --without nothing programs/prebuilt/hello → unknown patch 'nothing': see 'faultline patches'",
        "run --without mkclean-exclusive programs/prebuilt/hello → patch 'mkclean-exclusive' changes nothing that could be undone: only shared mappings of files are made clean, and what a device has exclusively is anonymous: make_device_exclusive() refuses all else",
        "patches all → too many arguments for 'patches'. Expected 0 arguments but got 1.",
      ]
    `);
  });

  test("lines of --do and --before, before anything runs", () => {
    const wrong = ["rm -rf /", "", "cat", "cat a | wc", "echo 'open", "echo a >", "mkdir", "kill", "kill -NOPE $PID", "kill $NOBODY"];
    expect(wrong.map((line) => complaint(["run", "--before", "echo early", "--do", line, HELLO]))).toMatchInlineSnapshot(`
      [
        "--do 'rm -rf /': rm is not known (cat, echo, mkdir and kill are)",
        "--do '': the line is empty",
        "--do 'cat': cat needs a path",
        "--do 'cat a | wc': "|" is not understood (cat, echo, mkdir and kill only, no pipes or patterns)",
        "--do 'echo 'open': a quote is not closed",
        "--do 'echo a >': > needs a path",
        "--do 'mkdir': mkdir needs a path",
        "--do 'kill': kill needs a process, as in: kill -TERM $PID",
        "--do 'kill -NOPE $PID': -NOPE is no signal",
        "--do 'kill $NOBODY': $NOBODY is not known ($PID and $$ are)",
      ]
    `);
    expect(complaint(["run", "--before", "reboot", HELLO])).toMatchInlineSnapshot(`"--before 'reboot': reboot is not known (cat, echo, mkdir and kill are)"`);
  });

  test("files that are no programs", () => {
    const elf = readFileSync(join(ROOT, HELLO));
    const patched = (at: number, byte: number): Uint8Array => {
      const copy = Uint8Array.from(elf);
      copy[at] = byte;
      return copy;
    };
    const files = {
      empty: "",
      script: "#!/bin/sh\necho hello\n",
      header: elf.subarray(0, 40),
      truncated: elf.subarray(0, 2000),
      "32-bit": patched(4, 1),
      x86: patched(18, 62),
      object: patched(16, 1),
    };
    withFiles(files, (folder) => {
      mkdirSync(join(folder, "folder"));
      const names = ["missing", "missing/deeper", "folder", "empty/deeper", "/dev/zero", ...Object.keys(files)];
      expect(names.map((name) => complaint(["run", name], folder))).toMatchInlineSnapshot(`
        [
          "missing: no such file",
          "missing/deeper: no such file",
          "folder: is a directory",
          "empty/deeper: no such file: part of the path is not a directory",
          "/dev/zero: is no regular file",
          "empty is not an ELF file",
          "script is not an ELF file",
          "header is truncated within the ELF header",
          "truncated is truncated: the contents of its segment at 0x11000 lie beyond the end of the file",
          "32-bit is a 32-bit program; 64-bit riscv is needed",
          "x86 is for x86-64, not riscv64",
          "object is not an executable but a relocatable object (.o); link it",
        ]
      `);
    });
  });

  test("a machine too small for the program", () => {
    // A copy of hello whose last segment has 64 GiB of zeros behind it, or is much longer in the file.
    const elf = readFileSync(join(ROOT, HELLO));
    const phoff = Number(elf.readBigUInt64LE(32));
    let last = phoff;
    for (let i = 0; i < elf.readUInt16LE(56); i++) if (elf.readUInt32LE(phoff + 56 * i) === 1) last = phoff + 56 * i;
    const zeros = Buffer.from(elf);
    zeros.writeBigUInt64LE(2n ** 36n, last + 40);
    const long = Buffer.concat([elf, Buffer.alloc(8 * 2 ** 20)]);
    const length = BigInt(long.length) - long.readBigUInt64LE(last + 8);
    long.writeBigUInt64LE(length, last + 32);
    long.writeBigUInt64LE(length, last + 40);
    withFiles({ zeros, long }, (folder) => {
      expect(complaint(["run", "--memory", "4M", "--swap", "0", "zeros"], folder)).toBe("a machine of 4M is too small for zeros");
      // What is not touched of a file needs no memory.
      expect(faultline(["run", "--memory", "4M", "--swap", "0", join(folder, "long")]).stdout).toBe("hello from a riscv64 program\n");
    });
  });

  test("a program whose interpreter is not among the guest's files", () => {
    const elf = readFileSync(join(ROOT, HELLO));
    const interpreter = Buffer.from("/lib/ld-linux-riscv64-lp64d.so.1\0");
    const dynamic = (name: Buffer): Buffer => {
      const file = Buffer.concat([elf, name]);
      const phoff = Number(file.readBigUInt64LE(32));
      for (let at = phoff; at < phoff + 56 * file.readUInt16LE(56); at += 56) {
        if (file.readUInt32LE(at) !== 0x6474e551) continue;
        file.writeUInt32LE(3, at);
        file.writeBigUInt64LE(BigInt(elf.length), at + 8);
        file.writeBigUInt64LE(BigInt(name.length), at + 32);
      }
      return file;
    };
    withFiles({ dynamic: dynamic(interpreter), itself: dynamic(Buffer.from("/proc/self/status\0")) }, (folder) => {
      expect(complaint(["run", "dynamic"], folder)).toBe(
        "dynamic is dynamically linked, and the guest has no /lib/ld-linux-riscv64-lp64d.so.1: --mount FOLDER:/lib with the folder of this computer that has it (Debian: /usr/riscv64-linux-gnu/lib), or link it with -static",
      );
      expect(complaint(["run", "itself"], folder)).toBe("itself is dynamically linked, and /proc/self/status cannot run it: EACCES (Permission denied)");
    });
  });

  test("damaged ELF files never show a stack trace", () => {
    const elf = readFileSync(join(ROOT, HELLO));
    const damage = fc.record({
      length: fc.oneof(fc.constant(elf.length), fc.nat(elf.length)),
      changes: fc.array(fc.tuple(fc.oneof(fc.nat(63), fc.nat(64 + 56 * 5), fc.nat(elf.length - 1)), fc.nat(255)), { maxLength: 8 }),
    });
    const damaged = (d: { length: number; changes: [number, number][] }): Uint8Array => {
      const bytes = Uint8Array.from(elf);
      for (const [at, byte] of d.changes) bytes[at] = byte;
      return bytes.subarray(0, d.length);
    };
    // The loader takes thousands; the whole command a few of them.
    fc.assert(
      fc.property(damage, (d) => {
        try {
          parseElf(damaged(d));
        } catch (error) {
          expect(error).toBeInstanceOf(ElfError);
          expect((error as ElfError).message).toMatch(/^[\x20-\x7e]+$/);
        }
      }),
      { seed: 20250210, numRuns: 5000 },
    );
    withFiles({}, (folder) => {
      for (const [i, d] of fc.sample(damage, { seed: 20250210, numRuns: 16 }).entries()) {
        withFiles({ program: damaged(d) }, (where) => {
          const { status, stderr } = faultline(
            ["run", "--memory", "16M", "--swap", "0", "--before", "echo", "--do", "kill -KILL $PID", join(where, "program")],
            { cwd: folder },
          );
          expect({ i, stderr }).toEqual({ i, stderr: stderr.split("\n", 1)[0] + (stderr === "" ? "" : "\n") });
          expect(stderr).not.toMatch(/internal error/);
          expect(status).not.toBeNull();
        });
      }
    });
  });
});
