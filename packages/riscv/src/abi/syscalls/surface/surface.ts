import { Errno } from "@faultline/kernel";

/** An argument of an example: a value, a string that is passed by its address, or words of 64 bits that are. */
export type Operand = number | string | readonly number[];

/** What changes of the example: arguments, by their index. */
export type Change = Readonly<Record<number, Operand>>;

/** An argument of flags, or one that chooses among few. */
export interface Accepted {
  /** "bits": a bit that is in none of `accepts` gives `other`. "values": another value does. */
  readonly kind: "bits" | "values";
  /** The example gives with each what it gives, where need be with further changes. */
  readonly accepts: readonly (number | readonly [value: number, needs: Change])[];
  /** 0: ignored. */
  readonly other: Errno | 0;
  /** Known, but not shown to work by an example here. */
  readonly besides: readonly number[];
}

export type Refusal = readonly [errno: Errno, when: string, change: Change];

/** What a system call takes and refuses. test/surface.test.ts tries every line of it. */
export interface Surface {
  /** Arguments with which it succeeds, or gives what `gives` says; null where it does not return. */
  readonly example: readonly Operand[] | null;
  /** For what can succeed only with more than an example has, such as a child. */
  readonly gives?: Errno;
  /** By the argument's index. */
  readonly takes?: Readonly<Record<number, Accepted>>;
  readonly refuses?: readonly Refusal[];
}

export type Surfaces = Readonly<Record<string, Surface>>;

/** Addresses that examples use; programs/refusals.c maps them. */
export const AT = {
  /** Sixteen pages that can be written, the first of them touched. */
  page: 0x10_0000_0000,
  readOnly: 0x10_0010_0000,
  hole: 0x10_0020_0000,
  /** Of the kernel's half. */
  kernel: -0x1000_0000_0000,
} as const;

export const PAGE = 4096;

/** Descriptors: a file of two pages, its directory, both ends of a pipe, the file for reading and for writing only. */
export const FD = { file: 3, directory: 4, pipeOut: 5, pipeIn: 6, reading: 7, writing: 8, closed: 99 } as const;

export const AT_FDCWD = -100;

export const noFd = (index: number): Refusal => [Errno.EBADF, "no such descriptor", { [index]: FD.closed }];
export const noMemory = (index: number): Refusal => [Errno.EFAULT, "memory that is not mapped", { [index]: AT.hole }];

export function bits(accepts: Accepted["accepts"], other: Errno | 0, besides: readonly number[] = []): Accepted {
  return { kind: "bits", accepts, other, besides };
}

export function values(accepts: Accepted["accepts"], other: Errno | 0, besides: readonly number[] = []): Accepted {
  return { kind: "values", accepts, other, besides };
}
