import { c } from './messages';
import { words } from './words.svelte';

export type Value = number | boolean | string | null;

/** UCUM codes of the checklists' metrics whose code is not what people write. */
const UNITS: Readonly<Record<string, string>> = { '1': '', Cel: '°C', deg: '°', '[ppm]': ' ppm' };

function unitOf(ucum: string): string {
  return UNITS[ucum] ?? ` ${ucum}`;
}

export function numberOf(value: number, digits: number): string {
  return new Intl.NumberFormat(words.tag, { maximumSignificantDigits: digits }).format(value);
}

export function valueOf(value: Value, unit: string): string {
  if (typeof value === 'number') return `${numberOf(value, 3)}${unitOf(unit)}`;
  return value === null ? '–' : typeof value === 'boolean' ? c(value ? 'yes' : 'no') : value;
}

/** A length of time in its two largest parts: "3 h 12 min", "3小时12分". */
export function spanOf(seconds: number): string {
  const s = Math.max(0, Math.floor(seconds));
  const parts = [[Math.floor(s / 86_400), c('t_d')], [Math.floor(s / 3600) % 24, c('t_h')], [Math.floor(s / 60) % 60, c('t_m')], [s % 60, c('t_s')]] as const;
  const first = s === 0 ? 3 : parts.findIndex(([n]) => n > 0);
  const shown = parts.slice(first, first + (first >= 2 ? 1 : 2)).filter(([n], i) => n > 0 || i === 0);
  const gap = words.lang === 'zh' ? '' : ' ';
  return shown.map(([n, unit]) => `${n}${gap}${unit}`).join(gap);
}

export function agoOf(seconds: number): string {
  return seconds < 1 ? c('t_now') : c('t_ago', { age: spanOf(seconds) });
}

/** Date, time and the zone they are in. */
export function zonedOf(iso: string): string {
  return new Intl.DateTimeFormat(words.tag, {
    month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', hourCycle: 'h23', timeZoneName: 'shortOffset',
  }).format(Date.parse(iso));
}

/** "12.5 MB", of 1,000 each. */
export function bytesOf(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB'];
  const step = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  return `${numberOf(bytes / 1000 ** step, 3)} ${units[step]}`;
}
