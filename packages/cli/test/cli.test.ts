import { describe, expect, test } from "vitest";
import { faultline } from "./command.js";

describe("what the command says of itself", () => {
  test("--version", () => {
    expect(faultline(["--version"])).toMatchInlineSnapshot(`
      {
        "status": 0,
        "stderr": "",
        "stdout": "faultline 0.1.0
      ",
      }
    `);
  });

  test("--help", () => {
    expect(faultline(["--help"]).stdout).toMatchInlineSnapshot(`
      "Usage: faultline [options] [command]

      Linux's heterogeneous memory management, running: programs for riscv64 Linux on
      a simulated machine

      Options:
        -V, --version                         print the version
        -h, --help                            print this help

      Commands:
        run [options] <PROGRAM> [ARGS...]     run a riscv64 Linux program
        check [options] <SCENARIO.ts>         explore the schedules of a scenario, and
                                              check each of them
        fuzz [options]                        run random programs on random schedules,
                                              and check each of them
        diff [options] <PROGRAM.c> [ARGS...]  run a C program natively and as a guest,
                                              and show where they first differ
        trace [options] <FILE>                say what a trace has recorded, or write
                                              it in another format
        view [options] [FILES...]             see a recording, a scenario or a program
                                              in a browser, step by step
        patches                               list the releases and patches that are
                                              known, and how far each is modelled
        help [command]                        print the help of a command
      "
    `);
  });

  test("help of each command", () => {
    expect(faultline(["run", "--help"]).stdout).toMatchInlineSnapshot(`
      "Usage: faultline run [options] PROGRAM [ARGS...]

      run a riscv64 Linux program

      Arguments:
        PROGRAM                 a statically linked riscv64 ELF file
        ARGS                    its arguments

      Options:
        --release <RELEASE>     the kernel: 7.3 (default), 6.18, 6.14 or 6.1
        --without <PATCH>       undo one patch (see 'faultline patches'); repeatable
        --patch <FILE.ts>       apply an overlay of your own; repeatable
        --driver <FILE.ts>      a driver of your own (docs/drivers.md); repeatable
        --memory <SIZE>         RAM, up to 4G (default: 2G)
        --swap <SIZE>           swap space, 0 for none (default: 2G)
        --cpus <N>              CPUs, up to 16 (default: 2)
        --nodes <N>             NUMA nodes that CPUs and RAM are divided among, up to
                                8 (default: 1)
        --seed <N>              the seed of every choice that the machine makes
                                (default: 1)
        --mount <HOST:GUEST>    a directory of this computer, read-only in the guest;
                                repeatable
        --before <LINE>         do this before the program starts; repeatable
        --do <LINE>             do this once nothing else can run; repeatable
        --do-timeout <SECONDS>  machine time that a line may take (default: 60)
        --page-owner            keep for each page who allocated it, for the kernel
                                log; slower, and on by itself when a line names
                                /sys/devices/system/memory
        --like-host             give the machine the swap (instead of --swap), huge
                                page settings, overcommit and limits of the Linux
                                underneath
        --strace                print the program's system calls to standard error
        --dmesg                 print the kernel log to standard error at the end
        --trace <FILE>          record the run: FILE.fltrace, FILE.txt (ftrace's text)
                                or FILE.pftrace (Perfetto)
        --trace-functions       record kernel functions and locks as well; always so
                                for FILE.pftrace
        -h, --help              print this help

      Options end at PROGRAM; what follows it are its own arguments. SIZE is written as 2G, 512M, 64K or
      a number of bytes. A LINE is one of: cat PATH, echo WORDS > PATH, mkdir PATH, kill -SIG PID; $PID is
      the program's process. Each line of --do waits until no thread of the program can run; after the
      last one the machine is shut down.

      The exit status is the program's, 128+N if signal N ended it, 0 after a shutdown by --do, 124 when
      every thread is stuck for good, 125 for what Faultline itself has to complain about.

      Example:
        faultline run --release 6.14 --memory 3G --swap 3G --do 'cat /proc/$PID/smaps_rollup' \\
            --do 'echo 1G > /sys/fs/cgroup/memory.reclaim' ./program
      "
    `);
    expect(faultline(["help", "run"]).stdout).toBe(faultline(["run", "--help"]).stdout);
    expect(faultline(["trace", "--help"]).stdout).toMatchInlineSnapshot(`
      "Usage: faultline trace [options] <FILE>

      say what a trace has recorded, or write it in another format

      Arguments:
        FILE         a .fltrace file of 'faultline run --trace'

      Options:
        --to <FILE>  write it as FILE.txt (ftrace's text) or FILE.pftrace (Perfetto)
        -h, --help   print this help
      "
    `);
    expect(faultline(["patches", "--help"]).stdout).toMatchInlineSnapshot(`
      "Usage: faultline patches [options]

      list the releases and patches that are known, and how far each is modelled

      Options:
        -h, --help  print this help
      "
    `);
  });

  test("no command: the help, as a complaint", () => {
    const { status, stdout, stderr } = faultline([]);
    expect({ status, stdout }).toEqual({ status: 125, stdout: "" });
    expect(stderr).toBe(faultline(["--help"]).stdout);
  });

  test("patches has a line on each, and says how far it is modelled", () => {
    const { status, stdout } = faultline(["patches"]);
    expect(status).toBe(0);
    const lines = stdout.split("\n");
    expect(lines.slice(0, 6)).toMatchInlineSnapshot(`
      [
        "Releases (--release)",
        "  7.3   mainline: as Debian's 7.3.4 behaves (default)",
        "  6.18  the long-term kernel of 2025: what difftest compares with on such a host",
        "  6.14  the last one before the device-exclusive series of 2025",
        "  6.1   the long-term kernel, as Debian's 6.1.192 behaves",
        "",
      ]
    `);
    const patches = lines.slice(7).filter((line) => line !== "");
    expect(patches.length).toBeGreaterThan(17);
    for (const line of patches) expect(line).toMatch(/^ {2}[a-z0-9-]+ +(modelled|changes nothing) +\S/);
    expect(patches.find((line) => line.includes("exclusive-mapcount"))).toMatchInlineSnapshot(`"  exclusive-mapcount             modelled         mm/rmap: keep mapcount untouched for device-exclusive entries"`);
  });
});
