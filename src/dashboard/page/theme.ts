// Light, dark, or as the system has it.

const THEMES = ["system", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];

const KEY = "observer-theme";

function stored(): Theme {
  try {
    return THEMES.find((name) => name === localStorage.getItem(KEY)) ?? "system";
  } catch {
    // Storage may be forbidden; the choice then lasts as long as the page.
    return "system";
  }
}

function apply(theme: Theme): void {
  if (theme === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
}

/** Applies the kept choice; the returned function moves on to the next and names it. */
export function startTheme(): { current(): Theme; next(): Theme } {
  let theme = stored();
  apply(theme);
  return {
    current: () => theme,
    next() {
      theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? "system";
      apply(theme);
      try {
        localStorage.setItem(KEY, theme);
      } catch {
        // As above.
      }
      return theme;
    },
  };
}
