export type Theme = 'dark' | 'light';
const STORED = 'citynerve.theme';

class ThemeChoice {
  /** Dark unless the person chose otherwise: a control room is dim. */
  now = $state<Theme>(localStorage.getItem(STORED) === 'light' ? 'light' : 'dark');

  set(theme: Theme): void {
    this.now = theme;
    localStorage.setItem(STORED, theme);
    document.documentElement.dataset['theme'] = theme;
  }
}

export const theme = new ThemeChoice();
document.documentElement.dataset['theme'] = theme.now;

/** A colour token of the present theme, for what draws on a canvas. */
export function token(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
