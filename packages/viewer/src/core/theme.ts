import { signal } from "@preact/signals";

export type Theme = "dark" | "light";

const KEY = "faultline-theme";

function wanted(): Theme {
  try {
    const kept = localStorage.getItem(KEY);
    if (kept === "dark" || kept === "light") return kept;
  } catch {
    // Some browsers keep nothing: then as the system has it.
  }
  return matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
}

export const theme = signal<Theme>(wanted());

/** Sets colours for all of the page, and keeps the choice. */
export function setTheme(next: Theme): void {
  theme.value = next;
  document.documentElement.dataset["theme"] = next;
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // As above.
  }
}

export function startTheme(): void {
  document.documentElement.dataset["theme"] = theme.value;
}
