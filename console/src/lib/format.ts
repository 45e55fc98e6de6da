import { t, words, type Text, say } from './words.svelte';

/** UCUM codes whose code is not what people write. */
const UNITS: Readonly<Record<string, string>> = {
  '1': '', '': '', Cel: '°C', deg: '°', '[ppm]': 'ppm', '[ppb]': 'ppb', '[ppth]': '‰', 'm3': 'm³', 'm3/h': 'm³/h', 'L/min': 'L/min',
  'ug/m3': 'µg/m³', 'mg/m3': 'mg/m³', 'kW.h': 'kWh', 'W.h': 'Wh', 'V.A': 'VA', 'kV.A': 'kVA', 'm/s2': 'm/s²', 'B[mW]': 'Bm', 'dB[mW]': 'dBm',
  '{count}': '', '{person}': '', 'var': 'var', 'km/h': 'km/h', '[degF]': '°F', 'min': 'min',
};

export function unitOf(ucum: string): string {
  return UNITS[ucum] ?? ucum.replace(/^\{(.*)\}$/, '$1');
}

/** Seven digits are what a 32-bit float carries; more would show its noise. */
const DIGITS = 7;
/** Degrees of a position: six decimals. */
export const FINE = 9;

export function numberOf(value: number, digits = DIGITS): string {
  return new Intl.NumberFormat(words.tag, { maximumSignificantDigits: digits, useGrouping: Math.abs(value) >= 10000 }).format(value);
}

export type Value = number | boolean | string | null;

export function valueOf(value: Value, digits = DIGITS): string {
  if (value === null) return t('value.none');
  if (typeof value === 'boolean') return t(value ? 'value.true' : 'value.false');
  return typeof value === 'number' ? numberOf(value, digits) : value;
}

/** Positions carry six decimals, a tenth of a metre. */
export function lonLatOf(longitude: number | null, latitude: number | null): string {
  return longitude === null || latitude === null ? t('device.no_position') : `${longitude.toFixed(6)}, ${latitude.toFixed(6)}`;
}

/** A length of time in its two largest parts: "3 h 12 min", "3小时12分". */
export function spanOf(seconds: number): string {
  const s = Math.max(0, Math.floor(seconds));
  const parts: [number, 'd' | 'h' | 'm' | 's'][] = [
    [Math.floor(s / 86400), 'd'], [Math.floor(s / 3600) % 24, 'h'], [Math.floor(s / 60) % 60, 'm'], [s % 60, 's'],
  ];
  const first = Math.max(0, parts.findIndex(([n]) => n > 0));
  const start = s === 0 ? 3 : first;
  const shown = parts.slice(start, start + (start >= 2 ? 1 : 2)).filter(([n], i) => n > 0 || i === 0);
  const gap = words.lang === 'zh' ? '' : ' ';
  return shown.map(([n, unit]) => `${n}${gap}${t(`time.${unit}`)}`).join(gap);
}

/** Kinds of clock that run only while people work: a day of theirs is no day of 24 hours, so theirs are told in hours. */
const WORKING = ['working_hours', 'working_days'];

/** An amount of a case's clock: "1 d 2 h" of time that always runs, "26 h 5 min" of working time. */
export function amountOf(seconds: number, kind: string): string {
  if (!WORKING.includes(kind)) return spanOf(seconds);
  const minutes = Math.max(0, Math.floor(seconds / 60));
  const parts: [number, 'h' | 'm'][] = [[Math.floor(minutes / 60), 'h'], [minutes % 60, 'm']];
  const gap = words.lang === 'zh' ? '' : ' ';
  const shown = parts.filter(([n], i) => n > 0 || (i === 1 && minutes === 0));
  return shown.map(([n, unit]) => `${n}${gap}${t(`time.${unit}`)}`).join(gap);
}

export function agoOf(seconds: number): string {
  return seconds < 2 ? t('time.now') : t('time.ago', { age: spanOf(seconds) });
}

/** Seconds from an ISO time to `now` (milliseconds); negative for the future. */
export function secondsSince(iso: string, now: number): number {
  return (now - Date.parse(iso)) / 1000;
}

export function timeOf(iso: string): string {
  return new Intl.DateTimeFormat(words.tag, {
    month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23',
  }).format(Date.parse(iso));
}

/** Date, time and the zone they are in: "11/21 16:20:05 GMT+8". */
export function zonedOf(iso: string): string {
  return new Intl.DateTimeFormat(words.tag, {
    year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23', timeZoneName: 'shortOffset',
  }).format(Date.parse(iso));
}

/** The reader's zone at an instant in milliseconds: "GMT+8". */
export function zoneOf(ms: number): string {
  const parts = new Intl.DateTimeFormat(words.tag, { timeZoneName: 'shortOffset' }).formatToParts(ms);
  return parts.find((part) => part.type === 'timeZoneName')?.value ?? '';
}

/** "12.5 MB", of 1,000 each. */
export function bytesOf(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const step = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  return `${numberOf(bytes / 1000 ** step, 3)} ${units[step]}`;
}

export function clockOf(ms: number): string {
  return new Intl.DateTimeFormat(words.tag, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' }).format(ms);
}

/** The API's words as they stand at the head of a line or on a button. */
export function headOf(text: Text | null | undefined, otherwise: string): string {
  const said = say(text, otherwise);
  return said.charAt(0).toLocaleUpperCase(words.tag) + said.slice(1);
}

export { say, type Text };
