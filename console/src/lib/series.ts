/** From the API's points to what the chart draws. Times are Unix seconds; null breaks the line. */
import type { Quality, RawPoint } from './api';
import type { Value } from './format';

type Column = (number | null)[];
export type RawColumns = { time: number[]; line: Column; bad: Column; uncertain: Column; badCount: number };

/** A pause this many times the usual distance is a gap. */
const GAP_TIMES = 3.5;

function numeric(value: Value): number | null {
  if (typeof value === 'boolean') return value ? 1 : 0;
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Infinity;
}

/** Good and uncertain values make the line; bad ones are points beside it and never part of it. */
export function rawColumns(points: readonly RawPoint[]): RawColumns {
  const seen = points.map((p) => ({ at: Date.parse(p.time) / 1000, value: numeric(p.value), quality: p.quality }));
  seen.sort((a, b) => a.at - b.at);
  const usual = median(seen.slice(1).map((p, i) => p.at - (seen[i]?.at ?? p.at)));
  const out: RawColumns = { time: [], line: [], bad: [], uncertain: [], badCount: 0 };
  const push = (at: number, value: number | null, quality: Quality) => {
    out.time.push(at);
    out.line.push(quality === 'bad' ? null : value);
    out.bad.push(quality === 'bad' ? value : null);
    out.uncertain.push(quality === 'uncertain' ? value : null);
  };
  let before = -Infinity;
  for (const point of seen) {
    if (point.at <= before) continue;
    if (before !== -Infinity && point.at - before > usual * GAP_TIMES) push((point.at + before) / 2, null, 'good');
    push(point.at, point.value, point.quality);
    if (point.quality === 'bad') out.badCount += 1;
    before = point.at;
  }
  return out;
}
