/**
 * Instructions a second of the interpreter: node packages/riscv/bench/mips.mjs program
 *
 * The program is a static one that needs no more than write and exit, such as sort.c here:
 * riscv64-linux-gnu-gcc -O2 -static -nostdlib -ffreestanding -fno-stack-protector -Wl,--no-relax -o sort sort.c
 */
import { readFileSync } from "node:fs";
import { Tlb } from "@faultline/kernel";
import { Exit, Hart, HartGroup, parseElf, warmUp } from "@faultline/riscv";

const RAM = 2 ** 26;
const STACK = 0x2000_0000;

const file = new Uint8Array(readFileSync(process.argv[2]));
const { buffer: ram } = new WebAssembly.Memory({ initial: RAM / 65536 });
const bytes = new Uint8Array(ram);
const tlb = new Tlb(1024);

/** Pages get frames as they are first used. */
const frames = new Map();
const frameOf = (vpn) => frames.get(vpn) ?? frames.set(vpn, frames.size + 1).get(vpn);
const byteAt = (address) => frameOf(Math.floor(address / 4096)) * 4096 + (address % 4096);
const refill = (vpn) => {
  tlb.fill(vpn, frameOf(vpn), true, true, true);
  return true;
};

const image = parseElf(file);
for (const { vaddr, offset, filesz } of image.segments) {
  for (let n = 0; n < filesz; n++) bytes[byteAt(vaddr + n)] = file[offset + n];
}
warmUp();
const hart = new Hart({ ram, tlb, group: new HartGroup(RAM), time: () => performance.now() * 1e6, refill });
hart.pc = image.entry;
hart.setXNumber(2, STACK);

const start = performance.now();
for (;;) {
  const exit = hart.run(1e9);
  if (exit === Exit.BUDGET) continue;
  const [number, address, length] = [17, 11, 12].map((register) => hart.getXNumber(register));
  if (exit !== Exit.ECALL || number !== 64) break;
  console.log(Buffer.from(Array.from({ length }, (_, n) => bytes[byteAt(address + n)])).toString("hex"));
  hart.pc += 4;
}
const seconds = (performance.now() - start) / 1000;
console.log(`${hart.instret} instructions in ${seconds.toFixed(2)} s: ${(hart.instret / seconds / 1e6).toFixed(0)} MIPS`);
