export type Theme = "system" | "light" | "dark";

const kept = (): Theme => {
  const found = localStorage.getItem("headrace-theme");
  return found === "light" || found === "dark" ? found : "system";
};

// `turn` changes whenever the colours do, so that what is drawn on a canvas is drawn anew.
export const theme = $state({ now: kept(), turn: 0 });

export function setTheme(wanted: Theme): void {
  theme.now = wanted;
  theme.turn += 1;
  if (wanted === "system") {
    localStorage.removeItem("headrace-theme");
    delete document.documentElement.dataset.theme;
  } else {
    localStorage.setItem("headrace-theme", wanted);
    document.documentElement.dataset.theme = wanted;
  }
}
setTheme(theme.now);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (theme.turn += 1));
