import { Tlb } from "@faultline/kernel";
import { Access, Exit, Hart, HartGroup, parseElf } from "../src/index.js";

/** A machine without a kernel: every page maps to the frame of the same number, or not at all. */
export class FlatMachine {
  readonly ram: ArrayBuffer;
  readonly tlb: Tlb;
  readonly group: HartGroup;
  readonly hart: Hart;
  /** Pages that do not translate, by kind of access. */
  readonly unmapped = { read: new Set<number>(), write: new Set<number>(), exec: new Set<number>() };
  /** What the guest wrote to its standard output. */
  output = new Uint8Array(0);

  constructor(ramBytes: number, { refill = true, tlbEntries = 64 } = {}) {
    this.ram = new ArrayBuffer(ramBytes);
    this.tlb = new Tlb(tlbEntries);
    this.group = new HartGroup(ramBytes);
    this.hart = this.addHart(this.tlb, refill);
  }

  addHart(tlb: Tlb, refill = true): Hart {
    return new Hart({
      ram: this.ram, tlb, group: this.group, time: () => 1_000_000,
      ...(refill && { refill: (vpn: number, access: Access) => this.map(vpn, access, tlb) }),
    });
  }

  /** Fills the TLB for a page; false if it does not permit the access. */
  map(vpn: number, access: Access, tlb = this.tlb): boolean {
    if (vpn * 4096 >= this.ram.byteLength) return false;
    const read = !this.unmapped.read.has(vpn);
    const write = !this.unmapped.write.has(vpn);
    const exec = !this.unmapped.exec.has(vpn);
    tlb.fill(vpn, vpn, read, write, exec);
    return access === Access.READ ? read : access === Access.WRITE ? write : exec;
  }

  load(file: Uint8Array): void {
    const image = parseElf(file);
    for (const one of image.segments) {
      new Uint8Array(this.ram).set(file.subarray(one.offset, one.offset + one.filesz), one.vaddr);
    }
    this.hart.pc = image.entry;
  }

  /** Puts instructions at an address: numbers below 2^16 that are compressed take two bytes. */
  assemble(at: number, ...instructions: number[]): void {
    const view = new DataView(this.ram);
    for (const bits of instructions) {
      if ((bits & 3) === 3) view.setUint32(at, bits, true);
      else view.setUint16(at, bits, true);
      at += (bits & 3) === 3 ? 4 : 2;
    }
  }

  /** Runs until exit_group, serving write(1, ...); returns why it stopped if it was something else. */
  runProgram(slice = 1_000_000): Exit | "exited" {
    for (;;) {
      const exit = this.hart.run(slice);
      if (exit === Exit.BUDGET) continue;
      if (exit !== Exit.ECALL) return exit;
      const [number, address, length] = [17, 11, 12].map((register) => this.hart.getXNumber(register));
      if (number !== 64) return "exited";
      const written = new Uint8Array(this.ram, address, length);
      this.output = new Uint8Array([...this.output, ...written]);
      this.hart.setXNumber(10, length ?? 0);
      this.hart.pc += 4;
    }
  }
}
