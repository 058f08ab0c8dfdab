import { useEffect, useRef, useState } from "preact/hooks";
import { COMMANDS } from "./commands.js";
import { address, parseAddress } from "./core/format.js";
import type { Workspace } from "./core/workspace.js";

const LISTED_MAX = 60;

interface Choice {
  readonly title: string;
  readonly key: string;
  run(): unknown;
}

/** Everything that can be done, by its words. */
export function Palette({ workspace }: { readonly workspace: Workspace }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  useEffect(() => dialog.current?.showModal(), []);
  const choices = choicesOf(workspace, text);
  const chosen = Math.min(at, Math.max(0, choices.length - 1));
  const take = (choice: Choice | undefined): void => {
    if (choice === undefined) return;
    dialog.current?.close();
    void choice.run();
  };
  useEffect(() => document.getElementById(`choice-${chosen}`)?.scrollIntoView({ block: "nearest" }), [chosen, text]);
  return (
    <dialog ref={dialog} class="palette" aria-label="Commands" onClose={() => (workspace.palette.value = false)} onClick={(event) => event.target === dialog.current && dialog.current?.close()}>
      <input
        autofocus
        role="combobox"
        aria-expanded
        aria-controls="choices"
        aria-activedescendant={`choice-${chosen}`}
        aria-label="Command"
        placeholder="a command, a scenario, a program, a step, an address …"
        spellcheck={false}
        onInput={(event) => {
          setText(event.currentTarget.value);
          setAt(0);
        }}
        onKeyDown={(event) => {
          const by = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
          if (event.key === "Enter") take(choices[chosen]);
          else if (by !== 0 && choices.length > 0) setAt((chosen + by + choices.length) % choices.length);
          else return;
          event.preventDefault();
        }}
      />
      <ul id="choices" role="listbox" aria-label="Commands">
        {choices.map((choice, i) => (
          <li key={choice.title} id={`choice-${i}`} role="option" aria-selected={i === chosen} onClick={() => take(choice)}>
            {choice.title} {choice.key === "" ? null : <kbd>{choice.key}</kbd>}
          </li>
        ))}
        {choices.length === 0 ? <li class="empty">nothing has these words</li> : null}
      </ul>
    </dialog>
  );
}

function choicesOf(workspace: Workspace, text: string): Choice[] {
  const words = text.toLowerCase().split(/\s+/).filter((word) => word !== "");
  const named = [...commands(workspace), ...runs(workspace)].filter(({ title }) => words.every((word) => title.toLowerCase().includes(word)));
  return [...places(workspace, text.trim()), ...named].slice(0, LISTED_MAX);
}

/** A step, or an address, that has been typed. */
function places({ left, active }: Workspace, text: string): Choice[] {
  if (left.info.value === null) return [];
  const viewer = active.value;
  const choices: Choice[] = [];
  if (/^\d{1,9}$/.test(text)) choices.push({ title: `Go to step ${text}`, key: "", run: () => viewer.goTo(Number(text)) });
  const vpn = /^0x[0-9a-f]+$/i.test(text) ? parseAddress(text) : null;
  const mm = viewer.moment.value?.space?.mm;
  if (vpn !== null && mm !== undefined) choices.push({ title: `Go to the page at ${address(vpn)}`, key: "", run: () => viewer.select({ mm, vpn }) });
  return choices;
}

function commands(workspace: Workspace): Choice[] {
  if (workspace.left.info.value === null) return [];
  return COMMANDS.filter(({ when }) => when?.(workspace) !== false).map(({ title, key = "", shown = key, run }) => ({ title, key: shown, run: () => run(workspace.active.value, workspace) }));
}

/** Everything of the gallery. */
function runs(workspace: Workspace): Choice[] {
  const { gallery, launch } = workspace;
  const { scenarios = [], programs = [] } = gallery.value ?? {};
  const { release, without } = launch.value;
  return [
    ...scenarios.map(({ name, title }) => ({ title: `Open scenario ${name}: ${title}`, key: "", run: () => workspace.open({ kind: "scenario", name, release, without, schedule: "default" }) })),
    ...programs.map((name) => ({ title: `Run program ${name}`, key: "", run: () => workspace.open({ kind: "program", name, ...launch.value }) })),
  ];
}
