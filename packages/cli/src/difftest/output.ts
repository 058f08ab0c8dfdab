/** What one mapping looks like: its place, and what smaps says of it. */
export interface MappingState {
  /** `500+20 rw-p @0`. */
  readonly place: string;
  readonly fields: Readonly<Record<string, string>>;
}

/** A run of pages with the same value. */
export interface Run {
  readonly page: number;
  readonly pages: number;
  readonly value: number;
}

/** How the arena of a process looks. */
export interface View {
  /** Size, blocks, seals and data of the files, by their number. */
  readonly files: string;
  /** Of the pool of huge pages: how many are free, reserved and surplus. */
  readonly pool: string;
  readonly mincore: readonly Run[];
  /** Flags of pagemap's entries: bits 55 to 63. */
  readonly pagemap: readonly Run[];
  readonly mappings: readonly MappingState[];
}

/** What was printed of one operation. */
export interface Outcome {
  readonly process: number;
  /** What the call has returned, and what it has done beside that. */
  readonly result: string;
  readonly view: View;
}

export type Features = Readonly<Record<string, boolean>>;

/** What programs/difftest.c prints: what its Linux can do, and the operations of each list. */
export interface Output {
  readonly features: Features;
  readonly lists: readonly (readonly Outcome[])[];
}

const NOTHING: View = { files: "", pool: "", mincore: [], pagemap: [], mappings: [] };

/** Throws where the text is none of it: what is missing at its end is missing from the last list. */
export function parseOutput(text: string): Output {
  const features: Record<string, boolean> = {};
  const lists: Outcome[][] = [];
  let views: View[] = [];
  const lines = text.split("\n");
  let at = 0;
  const mappings = (): MappingState[] => {
    const found: MappingState[] = [];
    while (lines[at]?.startsWith(" ") === true) found.push(parseMapping(lines[at++]!));
    return found;
  };
  while (at < lines.length) {
    const line = lines[at++]!;
    if (line === "") continue;
    if (line.startsWith("f ")) {
      for (const [, name, value] of line.matchAll(/(\S+)=(\d)/g)) features[name!] = value === "1";
    } else if (line.startsWith("# ")) {
      lists.push([]);
      views = [];
    } else {
      const [, , process, result] = /^(\d+) (\d+) (-?\d+(?: -?\d+)?)$/.exec(line) ?? [];
      if (process === undefined || lists.length === 0) throw new Error(`programs/difftest.c has printed ${JSON.stringify(line)}`);
      let view = views[Number(process)] ?? NOTHING;
      if (lines[at]?.startsWith("F") === true) view = { ...view, files: lines[at++]!.slice(2) };
      if (lines[at]?.startsWith("h") === true) view = { ...view, pool: lines[at++]!.slice(2) };
      if (lines[at]?.startsWith("m") === true) view = { ...view, mincore: parseRuns(lines[at++]!) };
      if (lines[at]?.startsWith("p") === true) view = { ...view, pagemap: parseRuns(lines[at++]!) };
      if (lines[at] === "v") {
        at++;
        view = { ...view, mappings: mappings() };
      }
      views[Number(process)] = view;
      lists.at(-1)!.push({ process: Number(process), result: result!, view });
    }
  }
  return { features, lists };
}

/** Adjacent runs of one value are one: where mappings begin and end is told elsewhere. */
export function addRun(runs: Run[], run: Run): void {
  const last = runs.at(-1);
  if (last !== undefined && last.value === run.value && last.page + last.pages === run.page) runs[runs.length - 1] = { ...last, pages: last.pages + run.pages };
  else runs.push(run);
}

function parseRuns(line: string): Run[] {
  const runs: Run[] = [];
  for (const [, page, pages, value] of line.matchAll(/(\d+)\+(\d+)=([0-9a-f]+)/g)) {
    addRun(runs, { page: Number(page), pages: Number(pages), value: parseInt(value!, 16) });
  }
  return runs;
}

function parseMapping(line: string): MappingState {
  const [place, ...rest] = line.trim().split(/ (?=[A-Za-z_]+=)/);
  return { place: place!, fields: Object.fromEntries(rest.map((field) => [field.slice(0, field.indexOf("=")), field.slice(field.indexOf("=") + 1)])) };
}
