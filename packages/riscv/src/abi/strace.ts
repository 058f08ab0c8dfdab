import { describeErrno, Restart, signalName, type SignalInfo } from "@faultline/kernel";
import type { GuestThread } from "./guest_thread.js";
import { siCodeName } from "./signal_frame.js";
import type { Syscall } from "./syscalls/syscall.js";
import { SYSCALLS } from "./syscalls/table.js";
import { hex, type Format } from "./syscalls/format.js";

const RESTARTS: Record<number, string> = {
  [Restart.ERESTARTSYS]: "ERESTARTSYS (To be restarted if SA_RESTART is set)",
  [Restart.ERESTARTNOINTR]: "ERESTARTNOINTR (To be restarted)",
  [Restart.ERESTARTNOHAND]: "ERESTARTNOHAND (To be restarted if no handler)",
  [Restart.ERESTART_RESTARTBLOCK]: "ERESTART_RESTARTBLOCK (Interrupted by signal)",
};

/** Column at which strace puts results. */
const RESULT_COLUMN = 39;

/** Prints system calls and signals as strace does, line by line, without touching the machine. */
export class Strace {
  /** The call that is printed so far and has not returned, by thread id. */
  private readonly open = new Map<GuestThread, string>();
  /** The thread whose half line stands at the end of the output. */
  private unfinished: GuestThread | null = null;
  private first: number | null = null;
  /** From the second thread or process on, each line says whose it is. */
  private several = false;

  constructor(private readonly sink: (line: string) => void) {}

  private prefix(t: GuestThread): string {
    // The first thread is the program's own.
    this.first ??= t.task.id;
    if (t.task.id !== this.first || t.task.process!.threads.size > 1 || t.task.process!.children.size > 0) this.several = true;
    return this.several ? `[pid ${String(t.task.id).padStart(5)}] ` : "";
  }

  entering(t: GuestThread, nr: number, args: readonly number[]): void {
    this.interrupt(t);
    // Arguments that the call fills in are shown when it returns.
    const call = SYSCALLS.get(nr);
    const head = `${call?.name ?? `syscall_0x${nr.toString(16)}`}(${this.formatArgs(t, call?.args ?? [], args, "in", 0)}`;
    this.open.set(t, head);
    this.unfinished = t;
  }

  /** Another thread has something to print: the half line is closed. */
  private interrupt(t: GuestThread): void {
    const other = this.unfinished;
    if (other === null || other === t) return;
    this.sink(`${this.prefix(other)}${this.open.get(other) ?? ""} <unfinished ...>`);
    const name = SYSCALLS_NAME.exec(this.open.get(other) ?? "")?.[0] ?? "";
    this.open.set(other, `<... ${name} resumed>`);
    this.unfinished = null;
  }

  returned(t: GuestThread, nr: number, args: readonly number[], result: number): void {
    this.interrupt(t);
    const call = SYSCALLS.get(nr);
    const formats = call?.args ?? [];
    let line = this.open.get(t) ?? "";
    if (line.startsWith("<...")) line += `${this.formatArgs(t, formats, args, "out", result)})`;
    // What execve(2) was given is gone when it returns.
    else if (!formats.some((format) => format.output === true)) line += ")";
    else line = `${call!.name}(${this.formatArgs(t, formats, args, "all", result)})`;
    this.open.delete(t);
    this.unfinished = null;
    this.sink(`${this.prefix(t)}${line.padEnd(RESULT_COLUMN)} = ${this.formatResult(call?.result ?? "decimal", result)}`);
  }

  private formatResult(kind: Syscall["result"], result: number): string {
    if (result < 0 && result >= -Restart.ERESTART_RESTARTBLOCK) {
      const restart = RESTARTS[-result];
      return restart !== undefined ? `? ${restart}` : `-1 ${describeErrno(-result)}`;
    }
    if (kind === "none") return "?";
    if (kind === "octal") return `0${result.toString(8)}`;
    return kind === "address" ? hex(result) : String(result);
  }

  private formatArgs(t: GuestThread, formats: readonly Format[], args: readonly number[], phase: "in" | "out" | "all", result: number): string {
    const parts: string[] = [];
    const firstOut = formats.findIndex((f) => f.output === true);
    const split = firstOut < 0 ? formats.length : firstOut;
    formats.forEach((format, i) => {
      if (phase === "in" && i >= split) return;
      if (phase === "out" && i < split) return;
      const text = format.show(t, args[i]!, args, result);
      if (text !== null) parts.push(text);
    });
    const joined = parts.join(", ");
    return phase === "in" && split < formats.length && parts.length > 0 ? `${joined}, ` : joined;
  }

  signal(t: GuestThread, info: SignalInfo): void {
    this.interrupt(t);
    const name = signalName(info.signo);
    const who = info.code <= 0 ? `, si_pid=${info.pid ?? 0}, si_uid=0` : "";
    const where = info.code > 0 && info.code < 0x80 ? `, si_addr=${info.addr === 0 ? "NULL" : hex(info.addrBig ?? info.addr)}` : "";
    this.sink(`${this.prefix(t)}--- ${name} {si_signo=${name}, si_code=${siCodeName(info)}${who}${where}} ---`);
  }

  exited(t: GuestThread, status: number): void {
    this.interrupt(t);
    const prefix = this.prefix(t);
    const line = this.open.get(t);
    this.open.delete(t);
    if (this.unfinished === t) this.unfinished = null;
    if (line !== undefined) {
      const closed = line.startsWith("<...") ? `${line})` : /^exit(_group)?\(/.test(line) ? `${line})` : `${line} <unfinished ...>)`;
      this.sink(`${prefix}${closed.padEnd(RESULT_COLUMN)} = ?`);
    }
    const signo = status & 127;
    this.sink(`${prefix}+++ ${signo !== 0 ? `killed by ${signalName(signo)}` : `exited with ${status >> 8}`} +++`);
  }

  /** The machine stops: what was printed of a call that did not return comes out. */
  finish(): void {
    const t = this.unfinished;
    if (t === null) return;
    this.unfinished = null;
    this.sink(`${this.prefix(t)}${this.open.get(t) ?? ""} <unfinished ...>`);
  }
}

const SYSCALLS_NAME = /^[a-z0-9_]+/;
