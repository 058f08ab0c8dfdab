import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { interpreterPath } from "../src/elf/load.js";
import { ElfError, parseElf } from "../src/index.js";
import { writeElf, type ElfSpec } from "./elf-file.js";

/** Files that are changed at random; `npm run fuzz:abi` takes a hundred thousand. */
const FILES = Number(process.env["ELF_FILES"] ?? 3000);
const CODE = new Uint8Array(64).fill(0x13);
const GOOD: ElfSpec = {
  entry: 0x10010,
  segments: [
    { vaddr: 0x10000, bytes: CODE, flags: 5 },
    { vaddr: 0x20ff0, bytes: new Uint8Array(32), memsz: 0x3000, flags: 6 },
  ],
};

/** A good file with some bytes changed. */
function patched(...changes: [offset: number, ...bytes: number[]][]): Uint8Array {
  const file = writeElf(GOOD);
  for (const [offset, ...bytes] of changes) file.set(bytes, offset);
  return file;
}
const segment = (change: object): Uint8Array =>
  writeElf({ ...GOOD, segments: [{ vaddr: 0x10000, bytes: CODE, flags: 5, ...change }] });

const text = new TextEncoder();
/** A program whose PT_INTERP holds a text. */
const dynamic = (name: string): Uint8Array =>
  writeElf({ ...GOOD, segments: [...GOOD.segments, { vaddr: 0x30000, bytes: text.encode(name), flags: 4, type: 3 }] });

describe("parseElf", () => {
  it("describes an executable", () => {
    const image = parseElf(writeElf(GOOD));
    expect(image).toMatchObject({ type: "exec", entry: 0x10010, phdr: 0, phentsize: 56, phnum: 2, interpreter: null, execStack: false });
    expect(image.segments).toEqual([
      { vaddr: 0x10000, memsz: 64, offset: 4096, filesz: 64, read: true, write: false, exec: true, align: 4096 },
      { vaddr: 0x20ff0, memsz: 0x3000, offset: 0x1ff0, filesz: 32, read: true, write: true, exec: false, align: 4096 },
    ]);
  });

  it("finds the program headers in memory when a segment holds them", () => {
    const file = writeElf(GOOD);
    const view = new DataView(file.buffer);
    view.setBigUint64(64 + 8, 0n, true); // the first segment starts with the file
    expect(parseElf(file).phdr).toBe(0); // 64 bytes reach only to the header's end
    view.setBigUint64(64 + 32, 4160n, true);
    view.setBigUint64(64 + 40, 4160n, true);
    expect(parseElf(file).phdr).toBe(0x10040);
  });

  it("takes a static PIE, at addresses from 0", () => {
    const file = writeElf({ type: 3, entry: 0x10, segments: [{ vaddr: 0, bytes: CODE, flags: 5 }] });
    expect(parseElf(file).type).toBe("dyn");
  });

  it("reads PT_GNU_STACK", () => {
    const stack = (flags: number): ElfSpec => ({
      ...GOOD, segments: [...GOOD.segments, { vaddr: 0, bytes: new Uint8Array(0), flags, type: 0x6474e551 }],
    });
    // On riscv a stack is not executable unless a program says so.
    expect(parseElf(writeElf(GOOD)).execStack).toBe(false);
    expect(parseElf(writeElf(stack(6))).execStack).toBe(false);
    expect(parseElf(writeElf(stack(7))).execStack).toBe(true);
  });

  it("reads PT_INTERP", () => {
    const file = dynamic("/lib/ld.so\0");
    const image = parseElf(file);
    expect(interpreterPath(file, image)).toBe("/lib/ld.so");
    expect(interpreterPath(writeElf(GOOD), parseElf(writeElf(GOOD)))).toBeNull();
  });

  it.each<[why: string, file: Uint8Array, message: string]>([
    ["empty", new Uint8Array(0), "is not an ELF file"],
    ["a script", text.encode("#!/bin/sh\necho hello, this is long enough\n"), "is not an ELF file"],
    ["ends in e_ident", patched().slice(0, 10), "is truncated within the ELF header"],
    ["ends in the header", patched().slice(0, 63), "is truncated within the ELF header"],
    ["ends in the program headers", patched().slice(0, 100), "is truncated: its program headers lie beyond the end of the file"],
    ["ends in a segment", patched().slice(0, 4100), "is truncated: the contents of its segment at 0x10000 lie beyond the end of the file"],
    ["32-bit", patched([4, 1]), "is a 32-bit program; 64-bit riscv is needed"],
    ["big endian", patched([5, 2], [18, 0, 243]), "is big endian; riscv64 Linux is little endian"],
    ["x86-64", writeElf({ ...GOOD, machine: 62 }), "is for x86-64, not riscv64"],
    ["aarch64", writeElf({ ...GOOD, machine: 183 }), "is for aarch64, not riscv64"],
    ["an unknown machine", writeElf({ ...GOOD, machine: 9999 }), "is for machine 9999, not riscv64"],
    ["an object file", writeElf({ ...GOOD, type: 1 }), "is not an executable but a relocatable object (.o); link it"],
    ["a core dump", writeElf({ ...GOOD, type: 4 }), "is not an executable but a core dump"],
    ["no interpreter's name", dynamic("\0\0"), "has a name of its interpreter that is empty, too long or without an end"],
    ["an interpreter's name without an end", dynamic("/lib/ld.so"), "has a name of its interpreter that is empty, too long or without an end"],
    ["an interpreter's name too long", dynamic(`/${"l".repeat(4095)}\0`), "has a name of its interpreter that is empty, too long or without an end"],
    ["no program headers", patched([56, 0, 0]), "has no program headers"],
    ["odd program headers", patched([54, 32, 0]), "has program headers of 32 bytes, not 56"],
    ["nothing to load", segment({ type: 4 }), "has nothing to load"],
    ["overlapping", writeElf({ ...GOOD, segments: [GOOD.segments[0]!, { vaddr: 0x10020, bytes: CODE, flags: 6 }] }),
      "has a segment at 0x10020 that overlaps the one before it or is out of order"],
    ["more in the file", segment({ memsz: 10 }), "has a segment at 0x10000 with more bytes in the file than in memory"],
    ["too high", segment({ vaddr: 2 ** 38 - 4096, memsz: 8192 }), "has a segment at 0x3ffffff000 that ends beyond the user address space"],
    ["kernel addresses", patched([64 + 16, 0, 0, 0, 0, 0, 0, 0, 0xff]), "has a segment at 0xff00000000000000 that ends beyond the user address space"],
    ["null", segment({ vaddr: 0 }), "has a segment at 0x0, within the page that catches null pointers"],
    ["not congruent", patched([64 + 16, 8]), "has a segment at 0x10008 not aligned with its file offset"],
    ["odd alignment", patched([64 + 48, 3]), "has a segment at 0x10000 with alignment 0x1003, which it does not keep"],
    ["entry nowhere", writeElf({ ...GOOD, entry: 0x40000 }), "has its entry point 0x40000 outside of any executable segment"],
    ["entry in data", writeElf({ ...GOOD, entry: 0x21000 }), "has its entry point 0x21000 outside of any executable segment"],
  ])("refuses: %s", (_why, file, message) => {
    expect(() => parseElf(file)).toThrow(new ElfError(message));
  });

  it("never fails but with an ElfError of one line", () => {
    const survives = (file: Uint8Array): void => {
      try {
        const { segments } = parseElf(file);
        for (const one of segments) expect(one.offset + one.filesz).toBeLessThanOrEqual(file.length);
      } catch (error) {
        expect(error).toBeInstanceOf(ElfError);
        expect((error as ElfError).message).toMatch(/^[\x20-\x7e]+$/);
      }
    };
    const good = writeElf(GOOD);
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), survives));
    const change = fc.tuple(fc.nat(64 + 2 * 56), fc.nat(255));
    fc.assert(
      fc.property(fc.array(change, { maxLength: 6 }), fc.nat(good.length), fc.boolean(), (changes, length, cut) => {
        const file = good.slice(0, cut ? length : good.length);
        for (const [at, byte] of changes) file[at] = byte;
        survives(file);
      }),
      { numRuns: FILES },
    );
    // A view into a larger buffer is read at its own offset.
    const padded = new Uint8Array(good.length + 7);
    padded.set(good, 7);
    expect(parseElf(padded.subarray(7)).entry).toBe(0x10010);
  });
});
