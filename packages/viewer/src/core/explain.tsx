import { effect, signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import functions from "virtual:function-docs";
import { docOf, learnEvents, learnFunctions } from "./docs.js";
import type { Viewer } from "./viewer.js";

learnFunctions(functions);

/** What is explained now, and where the thing is that it explains: of the window, in pixels. */
interface Shown {
  readonly key: string;
  readonly left: number;
  readonly top: number;
  readonly bottom: number;
}

const shown = signal<Shown | null>(null);
const state = {
  /** The box is under the pointer, and stays. */
  entered: false,
  timer: null as ReturnType<typeof setTimeout> | null,
  /** What will be shown, or is. */
  wanted: null as string | null,
};

/** Milliseconds ahead of showing, so that nothing pops up on the way; and ahead of hiding, for the way to the link. */
const SHOW_MS = 350;
const HIDE_MS = 300;
const ID = "explanation";

/** Makes an element explain itself when the pointer or the focus is on it. */
export function explains(key: string): { readonly "data-explain": string; readonly tabIndex: 0 } {
  return { "data-explain": key, tabIndex: 0 };
}

/** What is under the pointer in a picture; null for nothing. `x` and `y` of the window. */
export function explainAt(key: string | null, x: number, y: number): void {
  if (key === null) leave();
  else want(key, { left: x + 10, top: y - 10, bottom: y + 14 }, SHOW_MS);
}

function want(key: string, place: Omit<Shown, "key">, delay: number): void {
  if (state.wanted === key) return;
  state.wanted = key;
  if (state.timer !== null) clearTimeout(state.timer);
  state.timer = setTimeout(() => {
    state.timer = null;
    if (state.entered) return;
    shown.value = docOf(key) === null ? null : { key, ...place };
  }, delay);
}

function leave(): void {
  if (state.wanted === null && shown.value === null) return;
  state.wanted = null;
  if (state.timer !== null) clearTimeout(state.timer);
  state.timer = setTimeout(() => {
    state.timer = null;
    if (!state.entered && state.wanted === null) shown.value = null;
  }, HIDE_MS);
}

function hide(): void {
  state.entered = false;
  state.wanted = null;
  if (state.timer !== null) clearTimeout(state.timer);
  state.timer = null;
  shown.value = null;
}

/** Opens the documentation of what is explained now, or of an element; false where there is none. */
export function openDocumentation(): boolean {
  const key = shown.value?.key ?? document.activeElement?.closest<HTMLElement>("[data-explain]")?.dataset["explain"] ?? document.querySelector<HTMLElement>("[aria-current=step][data-explain]")?.dataset["explain"];
  const url = key === undefined ? undefined : docOf(key)?.url;
  if (url == null) return false;
  window.open(url, "_blank", "noopener,noreferrer");
  return true;
}

/** The one box that all explanations are shown in. */
export function Explanations({ viewer }: { readonly viewer: Viewer }) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    void viewer.ask("eventDocs", null).then(learnEvents, (error: unknown) => viewer.fail(error));
    const elementOf = (event: Event): HTMLElement | null => (event.target instanceof Element ? event.target.closest<HTMLElement>("[data-explain]") : null);
    const over = (event: PointerEvent): void => {
      const element = elementOf(event);
      if (element !== null) want(element.dataset["explain"]!, placeOf(element), SHOW_MS);
      else if (!(event.target instanceof HTMLCanvasElement) && !(event.target instanceof Node && box.current?.contains(event.target))) leave();
    };
    const focus = (event: FocusEvent): void => {
      const element = elementOf(event);
      if (element === null || !element.matches(":focus-visible")) return;
      element.setAttribute("aria-describedby", ID);
      want(element.dataset["explain"]!, placeOf(element), 0);
    };
    const blur = (event: FocusEvent): void => {
      const element = elementOf(event);
      element?.removeAttribute("aria-describedby");
      if (element !== null && !(event.relatedTarget instanceof Node && box.current?.contains(event.relatedTarget))) leave();
    };
    const keys = (event: KeyboardEvent): void => {
      if (event.key === "Escape") hide();
    };
    addEventListener("pointerover", over);
    addEventListener("focusin", focus);
    addEventListener("focusout", blur);
    addEventListener("keydown", keys);
    // What it pointed to may have scrolled away, or be another.
    addEventListener("wheel", hide, { passive: true });
    const stop = effect(() => {
      void viewer.step.value;
      hide();
    });
    return () => {
      removeEventListener("pointerover", over);
      removeEventListener("focusin", focus);
      removeEventListener("focusout", blur);
      removeEventListener("keydown", keys);
      removeEventListener("wheel", hide);
      stop();
    };
  }, [viewer]);
  const current = shown.value;
  useLayoutEffect(() => {
    const { current: element } = box;
    if (element === null || current === null) return;
    const { width, height } = element.getBoundingClientRect();
    element.style.left = `${Math.max(4, Math.min(current.left, innerWidth - width - 4))}px`;
    element.style.top = `${current.bottom + 4 + height < innerHeight ? current.bottom + 4 : Math.max(4, current.top - height - 4)}px`;
  }, [current]);
  if (current === null) return null;
  const doc = docOf(current.key)!;
  return (
    <div
      ref={box}
      id={ID}
      class="explanation"
      role="tooltip"
      data-testid="explanation"
      onPointerEnter={() => {
        state.entered = true;
      }}
      onPointerLeave={() => {
        state.entered = false;
        state.wanted = null;
        leave();
        shown.value = null;
      }}
    >
      <b>{doc.title}</b>
      <p>{doc.text}</p>
      {doc.url === null ? null : (
        <a href={doc.url} target="_blank" rel="noopener noreferrer" title="h opens it">
          {doc.url.replace(/^https:\/\//, "")}
        </a>
      )}
    </div>
  );
}

function placeOf(element: HTMLElement): Omit<Shown, "key"> {
  const { left, top, bottom } = element.getBoundingClientRect();
  return { left, top, bottom };
}
