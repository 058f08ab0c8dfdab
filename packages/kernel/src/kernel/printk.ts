import type { Machine } from "../machine.js";

/** The kernel log. */
export class Dmesg {
  readonly lines: string[] = [];
  private readonly said = new Set<string>();

  constructor(private readonly m: Machine) {}

  print(text: string): void {
    const us = Math.floor(this.m.now() / 1000);
    const stamp = `${Math.floor(us / 1e6)}.${String(us % 1e6).padStart(6, "0")}`.padStart(12);
    for (const line of text.split("\n")) this.lines.push(`[${stamp}] ${line}`);
  }

  /** Prints a line the first time it is said. */
  printOnce(text: string): void {
    if (this.said.has(text)) return;
    this.said.add(text);
    this.print(text);
  }
}
