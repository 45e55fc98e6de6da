/** From a history's answer to what the panels draw. Times are Unix seconds; null breaks the line. */
import type { Gap, Past } from '../lib/api_device';
import type { Quality } from '../lib/api';
import { valueOf, type Value } from '../lib/format';
import { rawColumns } from '../lib/series';

type Column = (number | null)[];
/** `bad` and `uncertain` are points beside the line. `break` are the silences, in pairs. */
export type Line = { kind: 'line'; time: number[]; line: Column; bad: Column; uncertain: Column; breaks: [number, number][]; count: number };
/** A value that holds from one time to another. */
export type Piece = { from: number; to: number; text: string; on: boolean };
export type Bands = { kind: 'bands'; pieces: Piece[]; count: number };
export type Shape = Line | Bands;
export type NewPoint = { time: string; value: Value; quality: Quality };

export const at = (iso: string): number => Date.parse(iso) / 1000;
const none = (count: number): Column => new Array<null>(count).fill(null);

/** A metric as it is drawn: numbers as a line, truths and words as bands. Nothing later than `end` is held to be known. */
export function shapeOf(past: Past, name: string, type: string, end: number): Shape {
  if (type === 'float' || type === 'integer') return lineOf(past, name);
  const points = (past.metrics[name] ?? []).map((one) => ({ at: at(one.time), value: one.value }));
  const gaps = past.method === 'pixels' ? (past.gaps[name] ?? []) : [];
  return { kind: 'bands', pieces: piecesOf(points, gaps, end), count: points.length };
}

function lineOf(past: Past, name: string): Line {
  if (past.method === 'raw') {
    const points = past.metrics[name] ?? [];
    const { time, line, bad, uncertain } = rawColumns(points);
    return { kind: 'line', time, line, bad, uncertain, breaks: [], count: points.length };
  }
  const points = past.metrics[name] ?? [];
  const breaks = (past.gaps[name] ?? []).map((gap): [number, number] => [at(gap.start), at(gap.end)]);
  const [time, line]: [number[], Column] = [[], []];
  let next = 0;
  for (const point of points) {
    const now = at(point.time);
    while (next < breaks.length && (breaks[next]?.[1] ?? Infinity) <= now) {
      const [from, to] = breaks[next++] ?? [now, now];
      time.push((from + to) / 2);
      line.push(null);
    }
    if (now <= (time.at(-1) ?? -Infinity)) continue;
    time.push(now);
    line.push(typeof point.value === 'number' ? point.value : typeof point.value === 'boolean' ? Number(point.value) : null);
  }
  return { kind: 'line', time, line, bad: none(time.length), uncertain: none(time.length), breaks, count: points.length };
}

function piecesOf(points: readonly { at: number; value: Value }[], gaps: readonly Gap[], end: number): Piece[] {
  const silences = gaps.map((gap) => [at(gap.start), at(gap.end)] as const);
  const pieces: Piece[] = [];
  points.forEach((point, i) => {
    const next = points[i + 1]?.at ?? end;
    const silent = silences.find(([from]) => from >= point.at && from < next)?.[0] ?? next;
    const text = valueOf(point.value);
    const last = pieces.at(-1);
    if (last !== undefined && last.text === text && last.to >= point.at) last.to = Math.max(last.to, silent);
    else pieces.push({ from: point.at, to: silent, text, on: point.value !== false });
  });
  return pieces;
}

/** The same with a value that has just come; null where it is known already, or older than what is drawn. */
export function grown(shape: Shape, point: NewPoint): Shape | null {
  const now = at(point.time);
  if (shape.kind === 'bands') {
    const last = shape.pieces.at(-1);
    if (point.quality === 'bad' || (last !== undefined && now < last.from)) return null;
    const text = valueOf(point.value);
    if (last?.text === text) return now <= last.to ? null : { ...shape, pieces: [...shape.pieces.slice(0, -1), { ...last, to: now }] };
    const before = last === undefined ? [] : [...shape.pieces.slice(0, -1), { ...last, to: Math.max(last.from, Math.min(last.to, now)) }];
    return { ...shape, pieces: [...before, { from: now, to: now, text, on: point.value !== false }], count: shape.count + 1 };
  }
  if (now <= (shape.time.at(-1) ?? -Infinity)) return null;
  const value = typeof point.value === 'number' ? point.value : null;
  const is = (quality: Quality) => (point.quality === quality ? value : null);
  return {
    ...shape, time: [...shape.time, now], line: [...shape.line, point.quality === 'bad' ? null : value], bad: [...shape.bad, is('bad')],
    uncertain: [...shape.uncertain, is('uncertain')], count: shape.count + 1,
  };
}

/** Moved in time, to lie under another part of the past. */
export function shifted(shape: Line, seconds: number): Line {
  return { ...shape, time: shape.time.map((one) => one + seconds) };
}

/** The least, the greatest and the newest number of a line; null where it has none. */
export function sumOf(shape: Line): { min: number; max: number; last: number } | null {
  let [min, max, last]: [number, number, number | null] = [Infinity, -Infinity, null];
  for (const [i, value] of shape.line.entries()) {
    for (const one of [value, shape.bad[i] ?? null]) {
      if (one === null) continue;
      min = Math.min(min, one);
      max = Math.max(max, one);
    }
    last = value ?? last;
  }
  return min > max ? null : { min, max, last: last ?? max };
}
