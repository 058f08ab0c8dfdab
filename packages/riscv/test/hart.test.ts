import { Tlb } from "@faultline/kernel";
import { describe, expect, it } from "vitest";
import { Access, Exit, Hart, HartGroup, INSTRUCTIONS, warmUp } from "../src/index.js";
import { RARE_INDEX } from "../src/cpu/rare.js";
import { FlatMachine } from "./flat.js";
import { assemble } from "./sequences.js";

const CODE = 0x1000;
const DATA = 0x8000;
const nop = assemble("addi");

/** A machine with these instructions at CODE, about to run them. */
function machineWith(...instructions: number[]): FlatMachine {
  const machine = new FlatMachine(0x20000);
  machine.assemble(CODE, ...instructions);
  machine.hart.pc = CODE;
  return machine;
}

/** Everything that a refused instruction must leave as it was. */
function everything(machine: FlatMachine): unknown {
  const { hart } = machine;
  return { state: hart.save(), instret: hart.instret, reservation: hart.reservation, ram: Buffer.from(machine.ram).toString("latin1") };
}

describe("budget", () => {
  it("is met exactly, wherever it ends", () => {
    // Straight code of both sizes, a loop, calls, and a page boundary in between.
    const program = (): FlatMachine => {
      const machine = new FlatMachine(0x20000);
      const at = 0x2000 - 12;
      machine.assemble(
        at,
        assemble("addi", { rd: 5, rs1: 5, imm: 1 }), assemble("c.addi", { rd: 6, imm: 3 }), assemble("mulh", { rd: 7, rs1: 5, rs2: 6 }),
        assemble("jal", { rd: 1, imm: 6 }), // its second half is on the next page
        assemble("c.nop"), assemble("sd", { rs1: 10, rs2: 5 }), assemble("c.mv", { rd: 8, rs2: 5 }),
        assemble("fadd.d", { rd: 1, rs1: 2, rs2: 3 }), assemble("jal", { rd: 0, imm: -26 }),
      );
      machine.hart.pc = at;
      machine.hart.setXNumber(10, DATA);
      return machine;
    };
    const stepped = program();
    for (let steps = 0; steps <= 100; steps++) {
      const whole = program();
      expect(whole.hart.run(steps)).toBe(Exit.BUDGET);
      expect(whole.hart.instret).toBe(steps);
      expect(everything(whole)).toEqual(everything(stepped));
      expect(stepped.hart.run(1)).toBe(Exit.BUDGET);
    }
  });

  it("of zero does nothing, even before an instruction that cannot run", () => {
    const machine = machineWith(0);
    const before = everything(machine);
    expect(machine.hart.run(0)).toBe(Exit.BUDGET);
    expect(everything(machine)).toEqual(before);
    machine.hart.pcBig = 1n << 60n;
    expect(machine.hart.run(0)).toBe(Exit.BUDGET);
  });

  it("comes before a fault that the next instruction would have", () => {
    const machine = machineWith(nop, 0);
    expect(machine.hart.run(1)).toBe(Exit.BUDGET);
    expect(machine.hart.run(1)).toBe(Exit.ILLEGAL);
  });
});

describe("exits", () => {
  it("at ecall and ebreak leave pc there, unretired", () => {
    for (const [name, exit] of [["ecall", Exit.ECALL], ["ebreak", Exit.EBREAK], ["c.ebreak", Exit.EBREAK]] as const) {
      const machine = machineWith(nop, assemble(name));
      expect(machine.hart.run(10)).toBe(exit);
      expect(machine.hart.pc).toBe(CODE + 4);
      expect(machine.hart.instret).toBe(1);
    }
  });

  it.each<[what: string, bits: number]>([
    ["no instruction", 0xffffffff],
    ["a compressed one that is none", 0x0000],
    ["a reserved rounding mode", assemble("fadd.d", { rm: 5 })],
    ["a reserved rounding mode where nothing rounds", assemble("fcvt.d.w", { rm: 6 })],
    ["the dynamic rounding mode when frm is invalid", assemble("fmul.s", { rm: 7 })],
    ["an unknown CSR", assemble("csrrs", { rd: 1, imm: 0x300 })],
    ["writing a read-only CSR", assemble("csrrw", { rd: 0, imm: 0xc00, rs1: 0 })],
    ["setting bits in a read-only CSR", assemble("csrrs", { rd: 1, imm: 0xc01, rs1: 2 })],
    ["a privileged instruction", 0x30200073],
  ])("for %s give its bits and change nothing", (_what, bits) => {
    const machine = machineWith(bits);
    machine.hart.frm = 6;
    machine.hart.setX(2, 5n);
    const before = everything(machine);
    expect(machine.hart.run(10)).toBe(Exit.ILLEGAL);
    expect(machine.hart.faultBits).toBe(bits >>> 0);
    expect(everything(machine)).toEqual(before);
  });

  it("for misaligned atomics name the address", () => {
    for (const { name, extension } of INSTRUCTIONS) {
      if (extension !== "A") continue;
      const machine = machineWith(assemble(name, { rd: 5, rs1: 10, rs2: 6 }));
      machine.hart.setXNumber(10, DATA + (name.endsWith("d") ? 4 : 2));
      const before = everything(machine);
      expect([name, machine.hart.run(1)]).toEqual([name, Exit.MISALIGNED_ATOMIC]);
      expect(machine.hart.faultAddress).toBe(DATA + (name.endsWith("d") ? 4 : 2));
      expect(machine.hart.faultAccess).toBe(name.startsWith("lr") ? Access.READ : Access.WRITE);
      expect(everything(machine)).toEqual(before);
    }
  });
});

const ACCESSES = INSTRUCTIONS.filter(
  ({ name, size }) => size === 4 && /^(l[bhwd]u?|s[bhwd]|fl[wd]|fs[wd]|(lr|sc|amo\w+)\.[wd])$/.test(name),
);
const isStore = (name: string): boolean => /^(s[bhwd]|fs[wd]|sc|amo)/.test(name);

describe("faults", () => {
  it.each(ACCESSES.map(({ name }) => name))("%s changes nothing until its page is there", (name) => {
    const machine = machineWith(assemble(name, { rd: 10, rs1: 10, rs2: 11 }));
    const { hart, unmapped } = machine;
    hart.setXNumber(10, DATA);
    hart.setX(11, 0x1122334455667788n);
    hart.setF(11, 0x8877665544332211n);
    const denied = isStore(name) ? unmapped.write : unmapped.read;
    denied.add(DATA / 4096);
    const before = everything(machine);
    expect(hart.run(1)).toBe(Exit.TLB_MISS);
    expect(hart.faultAddress).toBe(DATA);
    expect(hart.faultAccess).toBe(isStore(name) ? Access.WRITE : Access.READ);
    expect(everything(machine)).toEqual(before);
    denied.clear();
    machine.tlb.flushAll();
    expect(hart.run(1)).toBe(Exit.BUDGET);
    expect(hart.pc).toBe(CODE + 4);
  });

  it.each([-1n, 1n << 38n, (1n << 38n) + 0x8000n, 1n << 44n, (1n << 52n) + 0x8000n, 1n << 63n])("loads and stores at %i fault there", (address) => {
    for (const { name } of ACCESSES) {
      if (/\./.test(name) && address % 8n !== 0n) continue;
      const machine = machineWith(assemble(name, { rd: 5, rs1: 10, rs2: 11, imm: 0 }));
      machine.map(8, Access.READ);
      machine.hart.setX(10, address);
      expect([name, machine.hart.run(1)]).toEqual([name, Exit.TLB_MISS]);
      expect(machine.hart.faultAddressBig).toBe(BigInt.asUintN(64, address));
    }
  });

  it("of loads and stores that cross into a page name that page, and move no byte before", () => {
    for (const { name } of ACCESSES) {
      if (/\./.test(name) || name.endsWith("b") || name.endsWith("bu")) continue;
      const machine = machineWith(assemble(name, { rd: 5, rs1: 10, rs2: 11, imm: -1 }));
      const { hart, unmapped } = machine;
      hart.setXNumber(10, DATA + 4096);
      hart.setX(11, 0x1122334455667788n);
      const denied = isStore(name) ? unmapped.write : unmapped.read;
      for (const page of [DATA / 4096 + 1, DATA / 4096]) {
        denied.clear();
        denied.add(page);
        machine.tlb.flushAll();
        const before = everything(machine);
        expect([name, hart.run(1)]).toEqual([name, Exit.TLB_MISS]);
        expect(hart.faultAddress).toBe(page === DATA / 4096 ? DATA + 4095 : DATA + 4096);
        expect(everything(machine)).toEqual(before);
      }
    }
  });

  it("cross pages that are far apart in RAM", () => {
    const machine = machineWith(assemble("sd", { rs1: 10, rs2: 11 }), assemble("ld", { rd: 12, rs1: 10 }));
    const { hart, tlb, ram } = machine;
    machine.map(1, Access.EXEC);
    tlb.fill(0x2_0002, 9, true, true, false);
    tlb.fill(0x2_0003, 3, true, true, false);
    hart.setXNumber(10, 0x2000_2ffd);
    hart.setX(11, 0x8877665544332211n);
    expect(hart.run(2)).toBe(Exit.BUDGET);
    expect([...new Uint8Array(ram, 9 * 4096 + 0xffd, 3)]).toEqual([0x11, 0x22, 0x33]);
    expect([...new Uint8Array(ram, 3 * 4096, 5)]).toEqual([0x44, 0x55, 0x66, 0x77, 0x88]);
    expect(hart.getX(12)).toBe(0x8877665544332211n);
  });

  it("without a refill hook leave run for every page", () => {
    const machine = new FlatMachine(0x20000, { refill: false });
    const { hart } = machine;
    machine.assemble(CODE, assemble("ld", { rd: 5, rs1: 10 }), nop);
    hart.pc = CODE;
    hart.setXNumber(10, DATA);
    expect([hart.run(2), hart.faultAddress, hart.faultAccess]).toEqual([Exit.TLB_MISS, CODE, Access.EXEC]);
    machine.map(1, Access.EXEC);
    expect([hart.run(2), hart.faultAddress, hart.faultAccess]).toEqual([Exit.TLB_MISS, DATA, Access.READ]);
    machine.map(8, Access.READ);
    expect(hart.run(2)).toBe(Exit.BUDGET);
  });

  it("make progress when code and data share one TLB slot", () => {
    const machine = new FlatMachine(0x20000, { tlbEntries: 2 });
    machine.assemble(CODE, assemble("ld", { rd: 5, rs1: 10 }), assemble("sd", { rs1: 10, rs2: 5, imm: 4 }), assemble("jal", { imm: -8 }));
    machine.hart.pc = CODE;
    machine.hart.setXNumber(10, DATA + 4096);
    expect(machine.hart.run(300)).toBe(Exit.BUDGET);
    expect(machine.hart.instret).toBe(300);
  });
});

describe("fetching", () => {
  it("of an instruction across two pages faults precisely on either", () => {
    const machine = new FlatMachine(0x20000);
    const { hart, unmapped } = machine;
    machine.assemble(0x1ffe, assemble("addi", { rd: 5, rs1: 5, imm: 7 }), nop);
    for (const [page, address] of [[1, 0x1ffe], [2, 0x2000]] as const) {
      hart.pc = 0x1ffe;
      unmapped.exec.clear();
      unmapped.exec.add(page);
      machine.tlb.flushAll();
      const before = everything(machine);
      expect([hart.run(5), hart.faultAddress, hart.faultAccess]).toEqual([Exit.TLB_MISS, address, Access.EXEC]);
      expect(everything(machine)).toEqual(before);
    }
    unmapped.exec.clear();
    machine.tlb.flushAll();
    expect(hart.run(1)).toBe(Exit.BUDGET);
    expect(hart.getX(5)).toBe(7n);
    expect(hart.pc).toBe(0x2002);
  });

  it("of the second half follows the address space, not the frame", () => {
    const machine = new FlatMachine(0x20000, { refill: false });
    const { hart, tlb } = machine;
    const view = new DataView(machine.ram);
    const halves = (imm: number): [number, number] => {
      const bits = assemble("addi", { rd: 5, imm });
      return [bits & 0xffff, bits >>> 16];
    };
    view.setUint16(0x1ffe, halves(1)[0], true);
    view.setUint16(0x5000, halves(100)[1], true);
    view.setUint16(0x6000, halves(200)[1], true);
    for (const [frame, value] of [[5, 100n], [6, 200n]] as const) {
      tlb.fill(1, 1, true, false, true);
      tlb.fill(2, frame, true, false, true);
      hart.pc = 0x1ffe;
      expect(hart.run(1)).toBe(Exit.BUDGET);
      expect(hart.getX(5)).toBe(value);
    }
  });

  it("at a wild address faults there after the jump has retired", () => {
    for (const target of [1n << 38n, 0xffff_ffff_0000_0000n, 1n << 62n]) {
      const machine = machineWith(assemble("jalr", { rd: 1, rs1: 10, imm: 2 }));
      machine.hart.setX(10, target);
      expect(machine.hart.run(1)).toBe(Exit.BUDGET);
      expect(machine.hart.getX(1)).toBe(BigInt(CODE + 4));
      expect(machine.hart.pcBig).toBe(target + 2n);
      expect(machine.hart.run(1)).toBe(Exit.TLB_MISS);
      expect(machine.hart.faultAddressBig).toBe(target + 2n);
      expect(machine.hart.faultAccess).toBe(Access.EXEC);
      expect(machine.hart.instret).toBe(1);
    }
  });

  it("below address 0 faults at the top of the address space", () => {
    const machine = new FlatMachine(0x20000);
    machine.assemble(0, assemble("jal", { imm: -4 }));
    machine.hart.pc = 0;
    expect(machine.hart.run(2)).toBe(Exit.TLB_MISS);
    expect(machine.hart.faultAddressBig).toBe(0xffff_ffff_ffff_fffcn);
    expect(machine.hart.pcBig).toBe(0xffff_ffff_ffff_fffcn);
  });

  it("sees new code after fence.i, and after the kernel said that a frame changed", () => {
    const set = (imm: number): number => assemble("addi", { rd: 5, imm });
    const machine = machineWith(set(1), assemble("fence.i"), assemble("jal", { imm: -8 }));
    const { hart } = machine;
    hart.run(1);
    machine.assemble(CODE, set(2));
    hart.pc = CODE;
    hart.run(1);
    expect(hart.getX(5)).toBe(1n); // still the old code: nobody said anything
    hart.run(3);
    expect(hart.getX(5)).toBe(2n);
    machine.assemble(CODE, set(3));
    machine.group.invalidateCode(CODE / 4096);
    hart.pc = CODE;
    hart.run(1);
    expect(hart.getX(5)).toBe(3n);
  });
});

describe("LR and SC", () => {
  const lr = assemble("lr.d", { rd: 5, rs1: 10 });
  const sc = assemble("sc.d", { rd: 6, rs1: 10, rs2: 11 });
  const start = (...instructions: number[]): FlatMachine => {
    const machine = machineWith(...instructions);
    machine.hart.setXNumber(10, DATA);
    machine.hart.setX(11, 42n);
    return machine;
  };
  const stored = (machine: FlatMachine): bigint => new DataView(machine.ram).getBigUint64(DATA, true);

  it("succeed as a pair, once", () => {
    const machine = start(lr, sc, sc);
    machine.hart.run(2);
    expect([machine.hart.getX(6), stored(machine)]).toEqual([0n, 42n]);
    machine.hart.setX(11, 43n);
    machine.hart.run(1);
    expect([machine.hart.getX(6), stored(machine)]).toEqual([1n, 42n]);
  });

  it("fail after clearReservation and after a context switch", () => {
    for (const interrupt of ["clear", "switch"]) {
      const machine = start(lr, sc);
      machine.hart.run(1);
      if (interrupt === "clear") machine.hart.clearReservation();
      else machine.hart.restore(machine.hart.save());
      machine.hart.run(1);
      expect([machine.hart.getX(6), stored(machine)]).toEqual([1n, 0n]);
    }
  });

  it.each<[what: string, instruction: number, fails: boolean]>([
    ["a store", assemble("sd", { rs1: 10, rs2: 12 }), true],
    ["a byte of it", assemble("sb", { rs1: 10, rs2: 12, imm: 7 }), true],
    ["a store that reaches into it", assemble("sd", { rs1: 10, rs2: 12, imm: -7 }), true],
    ["a floating-point store", assemble("fsd", { rs1: 10, rs2: 12 }), true],
    ["an AMO", assemble("amoadd.d", { rs1: 10, rs2: 0 }), true],
    ["a store beside it", assemble("sd", { rs1: 10, rs2: 12, imm: 8 }), false],
    ["a load", assemble("ld", { rd: 5, rs1: 10 }), false],
  ])("notice another hart's access: %s", (_what, instruction, fails) => {
    const machine = start(lr, sc);
    const other = machine.addHart(new Tlb(64));
    machine.assemble(0x3000, nop, instruction, nop);
    other.pc = 0x3000;
    other.setXNumber(10, DATA);
    other.run(1); // fills the TLB: a fast store must not slip by
    machine.hart.run(1);
    other.run(2);
    machine.hart.run(1);
    // The value is the same as before in most of these: what counts is that it was written.
    expect(machine.hart.getX(6)).toBe(fails ? 1n : 0n);
  });

  it("notice what the kernel did to the frame", () => {
    const machine = start(lr, sc);
    machine.hart.run(1);
    machine.group.breakReservations(DATA / 4096);
    machine.hart.run(1);
    expect(machine.hart.getX(6)).toBe(1n);
  });
});

describe("state", () => {
  it("survives saving and restoring", () => {
    const { hart } = new FlatMachine(0x20000);
    for (let n = 1; n < 32; n++) hart.setX(n, BigInt(n) * 0x0123456789abcdefn);
    for (let n = 0; n < 32; n++) hart.setF(n, 0x7ff0000000000001n + BigInt(n)); // signalling NaNs keep their bits
    hart.pc = 0x3f_ffff_fffe;
    hart.fcsr = 0x75;
    const saved = hart.save();
    const { hart: other } = new FlatMachine(0x20000);
    other.restore(saved);
    expect(other.save()).toEqual(saved);
    expect(other.getF(3)).toBe(0x7ff0000000000004n);
    expect(other.pc).toBe(0x3f_ffff_fffe);
    expect([other.frm, other.fflags]).toEqual([3, 0x15]);
  });

  it("keeps x0 zero", () => {
    const machine = machineWith(
      assemble("addi", { rd: 0, imm: 5 }), assemble("lui", { rd: 0, imm: 4096 }), assemble("ld", { rd: 0, rs1: 10 }),
      assemble("mulhu", { rd: 0, rs1: 10, rs2: 10 }), assemble("jal", { rd: 0, imm: 4 }), assemble("lw", { rd: 0, rs1: 10, imm: 1 }),
      assemble("feq.d", { rd: 0 }), assemble("amoadd.w", { rd: 0, rs1: 10 }),
    );
    machine.hart.setXNumber(10, CODE);
    machine.hart.setX(0, 7n);
    expect(machine.hart.run(8)).toBe(Exit.BUDGET);
    expect(machine.hart.getX(0)).toBe(0n);
  });

  it("takes numbers for registers", () => {
    const { hart } = new FlatMachine(0x20000);
    for (const value of [0, 1, -1, 2 ** 32, -(2 ** 32), -(2 ** 31), 2 ** 52 + 1, -(2 ** 40) - 3]) {
      hart.setXNumber(5, value);
      expect(hart.getXNumber(5)).toBe(value);
      expect(hart.getXSigned(5)).toBe(BigInt(value));
    }
  });

  it("counts in the counters", () => {
    const machine = machineWith(
      nop, assemble("csrrs", { rd: 5, imm: 0xc02 }), assemble("csrrs", { rd: 6, imm: 0xc00 }), assemble("csrrs", { rd: 7, imm: 0xc01 }),
    );
    machine.hart.instret = 2 ** 33;
    machine.hart.run(4);
    expect([5, 6, 7].map((n) => machine.hart.getXNumber(n))).toEqual([2 ** 33 + 1, 2 ** 33 + 2, 10_000]);
  });

  it("has code for every instruction of the table", () => {
    const machine = machineWith(nop);
    for (const { name, match, size, extension } of INSTRUCTIONS) {
      if (size === 2 || extension === "Zicsr") continue; // CSR 0 does not exist
      machine.assemble(CODE, match);
      machine.group.invalidateCode(1);
      machine.hart.pc = CODE;
      machine.hart.setX(0, 0n);
      expect([name, machine.hart.run(1)]).not.toEqual([name, Exit.ILLEGAL]);
    }
    expect(RARE_INDEX.size).toBeLessThanOrEqual(256 - 96);
  });
});

describe("warmUp", () => {
  it("ends", () => {
    expect(warmUp()).toBeUndefined();
  });
});

describe("large RAM", () => {
  it("is addressed to its last byte at 4 GiB", () => {
    const memory = new WebAssembly.Memory({ initial: 65536, maximum: 65536 });
    const tlb = new Tlb(64);
    const big = new Hart({ ram: memory.buffer, tlb, group: new HartGroup(2 ** 32), time: () => 0 });
    new DataView(memory.buffer).setUint32(0xf_fffe * 4096, assemble("sd", { rs1: 10, rs2: 11 }), true);
    new DataView(memory.buffer).setUint32(0xf_fffe * 4096 + 4, assemble("lbu", { rd: 12, rs1: 10, imm: 7 }), true);
    new DataView(memory.buffer).setUint32(0xf_fffe * 4096 + 8, assemble("lhu", { rd: 13, rs1: 10, imm: 5 }), true);
    tlb.fill(1, 0xf_fffe, true, false, true);
    tlb.fill(2, 0xf_ffff, true, true, false);
    big.pc = 0x1000;
    big.setXNumber(10, 0x2ff8);
    big.setX(11, 0xfedcba9876543210n);
    expect(big.run(3)).toBe(Exit.BUDGET);
    expect([big.getX(12), big.getX(13)]).toEqual([0xfen, 0xdcban]);
    expect(new Uint8Array(memory.buffer)[2 ** 32 - 1]).toBe(0xfe);
  });
});
