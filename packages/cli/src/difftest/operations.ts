/** What programs/difftest.c can do, in the order of its numbers: the names of what each takes. */
const TAKES = {
  map: ["page", "pages", "prot", "flags", "", "", "within", "longer"],
  unmap: ["page", "pages", "", "", "", "", "within", "longer"],
  protect: ["page", "pages", "prot", "", "", "", "within", "longer"],
  remap: ["page", "pages", "newPages", "flags", "to", "", "within", "longer"],
  advise: ["page", "pages", "advice", "", "", "", "within", "longer"],
  fork: ["child"],
  reap: ["child"],
  store: ["page", "pages", "offset", "value"],
  load: ["page", "pages", "offset"],
  send: ["page", "pages", "", "", "", "", "within", "longer"],
  receive: ["page", "pages", "value", "", "", "", "within", "longer"],
  check: ["page", "pages", "offset"],
  msync: ["page", "pages", "flags", "", "", "", "within", "longer"],
  mlock: ["page", "pages", "", "", "", "", "within", "longer"],
  munlock: ["page", "pages", "", "", "", "", "within", "longer"],
  mlock2: ["page", "pages", "flags", "", "", "", "within", "longer"],
  mapfile: ["page", "pages", "prot", "flags", "file", "offset", "within", "longer"],
  pwrite: ["file", "pages", "offset", "value", "", "", "within", "longer"],
  pread: ["file", "pages", "offset", "", "", "", "within", "longer"],
  writefrom: ["page", "pages", "file", "offset", "past", "", "within", "longer"],
  readinto: ["page", "pages", "file", "offset", "past", "", "within", "longer"],
  truncate: ["file", "pages", "", "", "", "", "", "longer"],
  fallocate: ["file", "pages", "offset", "mode", "", "", "within", "longer"],
  seal: ["file", "seals"],
  fadvise: ["file", "pages", "offset", "advice", "", "", "within", "longer"],
  uffd: ["features"],
  register: ["page", "pages", "mode", "", "", "", "within", "longer"],
  unregister: ["page", "pages", "", "", "", "", "within", "longer"],
  copy: ["page", "pages", "mode", "from", "past", "", "within", "longer"],
  zeropage: ["page", "pages", "mode", "", "", "", "within", "longer"],
  continue: ["page", "pages", "mode", "", "", "", "within", "longer"],
  writeprotect: ["page", "pages", "mode", "", "", "", "within", "longer"],
  poison: ["page", "pages", "mode", "", "", "", "within", "longer"],
  move: ["page", "pages", "mode", "from", "past", "", "within", "longer"],
  wake: ["page", "pages", "", "", "", "", "within", "longer"],
  scan: ["page", "pages", "flags", "masks", "returns", "limits", "within", "longer"],
  clearrefs: ["what"],
  padvise: ["page", "pages", "target", "advice", "", "", "within", "longer"],
  peek: ["page", "pages", "target", "from", "", "", "within", "longer"],
  poke: ["page", "pages", "target", "to", "", "", "within", "longer"],
  mseal: ["page", "pages", "flags", "", "", "", "within", "longer"],
  maphuge: ["page", "pages", "prot", "flags", "", "", "within", "longer"],
  heap: ["page", "pages", "", "", "", "", "within", "longer"],
  brk: ["page", "", "", "", "", "", "within"],
  limit: ["what", "more"],
  setfl: ["file", "flags"],
  remapfile: ["page", "pages", "prot", "offset", "flags", "", "within", "longer"],
} as const satisfies Record<string, readonly string[]>;

export type Kind = keyof typeof TAKES;
export const KINDS = Object.keys(TAKES) as readonly Kind[];

/** What a Linux must have for some operations, as programs/difftest.c calls it. */
const NEEDS: readonly (readonly [feature: string, kinds: readonly Kind[]])[] = [
  ["files", ["mapfile", "pwrite", "pread", "writefrom", "readinto", "truncate", "fallocate", "seal", "fadvise", "setfl", "remapfile"]],
  ["userfaultfd", ["uffd", "register", "unregister", "copy", "zeropage", "continue", "writeprotect", "poison", "move", "wake"]],
  ["hugetlb", ["maphuge"]],
  ["heap", ["heap", "brk"]],
];

/** The file of huge pages, as programs/difftest.c counts them. */
export const HUGE_FILE = 3;

/** What begins to track anew which pages are written. */
const CLEAR_SOFT_DIRTY = 4;

/** Whether who has these features can do it. */
export function isPossible({ kind, args }: Operation, features: Readonly<Record<string, boolean>>): boolean {
  if (kind === "clearrefs" && args["what"] === CLEAR_SOFT_DIRTY) return features["soft-dirty"] === true;
  if (args["file"] === HUGE_FILE && features["hugetlb"] !== true) return false;
  return NEEDS.every(([feature, kinds]) => features[feature] === true || !kinds.includes(kind));
}

/** The kinds that only a Linux with the feature has. */
export function kindsOf(feature: string): readonly Kind[] {
  return NEEDS.find(([name]) => name === feature)![1];
}

/** One operation; `process` counts the four that there can be. Arguments that are left out are 0. */
export interface Operation {
  readonly kind: Kind;
  readonly process: number;
  readonly args: Readonly<Record<string, number>>;
}

const WORDS = 10;

/** Lists as programs/difftest.c reads them. */
export function encodeLists(lists: readonly (readonly Operation[])[]): Uint8Array {
  const words = new Uint32Array(lists.reduce((sum, list) => sum + 1 + WORDS * list.length, 0));
  let at = 0;
  for (const list of lists) {
    words[at++] = list.length;
    for (const { kind, process, args } of list) {
      words[at] = KINDS.indexOf(kind);
      words[at + 1] = process;
      TAKES[kind].forEach((name, i) => {
        if (name !== "") words[at + 2 + i] = args[name] ?? 0;
      });
      at += WORDS;
    }
  }
  return new Uint8Array(words.buffer);
}

/** `1: remap page 500 pages 4 newPages 8 flags 3 to 600`, as reports have it. */
export function operationText({ kind, process, args }: Operation): string {
  const words = Object.entries(args).filter(([, value]) => value !== 0);
  return [`${process}: ${kind}`, ...words.map(([name, value]) => `${name} ${value}`)].join(" ");
}

/** The operation that `operationText` has made a text of. */
export function parseOperation(text: string): Operation {
  const [, process, kind, rest] = /^(\d): (\w+)((?: \w+ \d+)*)$/.exec(text.trim()) ?? [];
  if (process === undefined || !KINDS.includes(kind as Kind)) throw new Error(`no operation: ${text}`);
  const args = Object.fromEntries([...rest!.matchAll(/ (\w+) (\d+)/g)].map(([, name, value]) => [name!, Number(value)]));
  return { kind: kind as Kind, process: Number(process), args };
}

/** The pages that an operation is about; null for those about processes. */
export function pagesOf({ args }: Operation): { readonly page: number; readonly pages: number } | null {
  return args["page"] === undefined ? null : { page: args["page"], pages: args["pages"] ?? 0 };
}
