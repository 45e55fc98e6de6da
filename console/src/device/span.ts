/** Which part of the past is shown. It stands in the address: `range` is so long up to now, `from` and `to` are what was zoomed into. */
import { clock } from '../lib/clock.svelte';
import { router } from '../lib/router.svelte';

export const RANGES = { '1h': 3600, '6h': 21_600, '24h': 86_400, '7d': 604_800, '30d': 2_592_000, '90d': 7_776_000, '1y': 31_536_000 } as const;
export type Range = keyof typeof RANGES;
export const RANGE_NAMES = Object.keys(RANGES) as Range[];
const LEAST_S = 10;
const MOST_S = 2 * RANGES['1y'];

/** Seconds since 1970; `live` where it goes on to now. */
export type Span = { from: number; to: number; live: boolean };

export const rangeNow = (): Range => RANGE_NAMES.find((one) => one === router.get('range')) ?? '24h';

/** What the address fixes: the ends of a zoom, or null where it is a length up to now. */
export function zoomed(): Span | null {
  const [from, to] = [Date.parse(router.get('from')) / 1000, Date.parse(router.get('to')) / 1000];
  return to - from >= LEAST_S ? { from, to, live: false } : null;
}

export function spanOf(fixed: Span | null, range: Range): Span {
  const now = clock.exact() / 1000;
  return fixed ?? { from: now - RANGES[range], to: now, live: true };
}

const iso = (seconds: number) => `${new Date(Math.round(seconds) * 1000).toISOString().slice(0, 19)}Z`;

/** Show from one time to another; nothing shorter than ten seconds, nothing longer than two years, nothing after now. */
export function zoomTo(from: number, to: number): void {
  const now = clock.exact() / 1000;
  const middle = (from + to) / 2;
  const half = Math.min(Math.max(to - from, LEAST_S + 1), MOST_S) / 2;
  const end = Math.min(middle + half, now);
  router.set({ from: iso(end - 2 * half), to: iso(end) });
}

export const unzoom = (range: Range): void => router.set({ range, from: '', to: '' });
