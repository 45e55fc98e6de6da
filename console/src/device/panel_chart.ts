/** One panel of a device's history by uPlot, in a chunk of its own. All panels of a page share one cursor. */
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { FINE, numberOf } from '../lib/format';
import { token } from '../lib/theme.svelte';
import type { Bands, Line, Shape } from './columns';

export type Says = { time: string; value: string; bad: string; uncertain: string; other: string };
export type Picture = { shape: Shape; other: Line | null; from: number; to: number };

const CURSOR = 'history';
/** Fewer values than this are shown as points, too. */
const DENSE = 240;
const [TALL, FLAT] = [150, 96];
const shown = (_u: uPlot, value: number | null) => (value === null ? '—' : numberOf(value));
const clock = new Intl.DateTimeFormat('sv-SE', { dateStyle: 'short', timeStyle: 'medium' });

export class PanelChart {
  #plot: uPlot;
  #picture: Picture;
  #watch: ResizeObserver;

  constructor(holder: HTMLElement, picture: Picture, says: Says, zoom: (from: number, to: number) => void) {
    this.#picture = picture;
    const bands = picture.shape.kind === 'bands';
    const size = () => ({ width: Math.max(220, holder.clientWidth), height: bands ? FLAT : TALL });
    this.#plot = new uPlot(
      {
        ...size(),
        scales: { x: { range: () => [this.#picture.from, this.#picture.to] }, y: bands ? { range: [0, 1] } : {} },
        axes: axes(bands),
        legend: { live: true, markers: { width: 2 } },
        cursor: { y: false, points: { size: 7, show: !bands }, sync: { key: CURSOR, setSeries: false }, drag: { x: true, y: false, setScale: false, dist: 6 } },
        series: [{ label: says.time, value: (_u, v) => (v === null ? '—' : clock.format(v * 1000)) }, ...(bands ? this.#bandSeries(says) : lineSeries(says, picture))],
        hooks: {
          drawClear: [(plot) => this.#shade(plot)],
          draw: [(plot) => this.#paint(plot)],
          setSelect: [(plot) => {
            if (plot.select.width < 6) return;
            const [from, to] = [plot.posToVal(plot.select.left, 'x'), plot.posToVal(plot.select.left + plot.select.width, 'x')];
            plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            zoom(from, to);
          }],
        },
      },
      dataOf(picture),
      holder,
    );
    this.#watch = new ResizeObserver(() => this.#plot.setSize(size()));
    this.#watch.observe(holder);
  }

  show(picture: Picture): void {
    this.#picture = picture;
    this.#plot.setData(dataOf(picture));
  }

  away(): void {
    this.#watch.disconnect();
    this.#plot.destroy();
  }

  #bandSeries(says: Says): uPlot.Series[] {
    const text = (_u: uPlot, _v: number, _s: number, index: number | null) => (index === null ? '—' : ((this.#picture.shape as Bands).pieces[Math.floor(index / 2)]?.text ?? '—'));
    return [{ label: says.value, stroke: token('accent'), paths: () => null, points: { show: false }, value: text }];
  }

  /** Silences: nobody knows what was there. */
  #shade(plot: uPlot): void {
    const { shape } = this.#picture;
    if (shape.kind !== 'line') return;
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.fillStyle = token('raised');
    for (const [from, to] of shape.breaks) {
      const [left, right] = [plot.valToPos(from, 'x', true), plot.valToPos(to, 'x', true)];
      ctx.fillRect(Math.max(bbox.left, left), bbox.top, Math.max(1, Math.min(bbox.left + bbox.width, right) - Math.max(bbox.left, left)), bbox.height);
    }
    ctx.restore();
  }

  #paint(plot: uPlot): void {
    const { shape } = this.#picture;
    if (shape.kind !== 'bands') return;
    const { ctx, bbox } = plot;
    const [top, height] = [bbox.top + bbox.height * 0.15, bbox.height * 0.7];
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
    [ctx.textAlign, ctx.textBaseline] = ['left', 'middle'];
    for (const piece of shape.pieces) {
      const left = Math.max(bbox.left, plot.valToPos(piece.from, 'x', true));
      const wide = Math.max(devicePixelRatio, plot.valToPos(piece.to, 'x', true) - left);
      ctx.fillStyle = piece.on ? `${token('accent')}66` : token('line');
      ctx.fillRect(left, top, wide, height);
      ctx.fillStyle = token('line-strong');
      ctx.fillRect(left, top, devicePixelRatio, height);
      if (ctx.measureText(piece.text).width + 10 * devicePixelRatio > wide) continue;
      ctx.fillStyle = token('text');
      ctx.fillText(piece.text, left + 5 * devicePixelRatio, top + height / 2);
    }
    ctx.restore();
  }
}

function axes(bands: boolean): uPlot.Axis[] {
  const common = { stroke: token('muted'), grid: { stroke: token('line'), width: 1 }, ticks: { stroke: token('line-strong'), width: 1, size: 5 }, font: '12px system-ui, sans-serif' };
  const time: uPlot.Axis = { ...common, values: [
    [31536000, '{YYYY}', null, null, null, null, null, null, 1],
    [86400, '{MM}-{DD}', '\n{YYYY}', null, null, null, null, null, 1],
    [60, '{HH}:{mm}', '\n{MM}-{DD}', null, '\n{MM}-{DD}', null, null, null, 1],
    [1, '{HH}:{mm}:{ss}', '\n{MM}-{DD}', null, '\n{MM}-{DD}', null, null, null, 1],
  ] };
  return [time, { ...common, size: 62, values: (_u, ticks) => ticks.map((v) => (bands ? '' : numberOf(v, FINE))), grid: bands ? { show: false } : common.grid, ticks: bands ? { show: false } : common.ticks }];
}

function lineSeries(says: Says, picture: Picture): uPlot.Series[] {
  const accent = token('accent');
  const few = picture.shape.count <= DENSE;
  const dot = (label: string, colour: string): uPlot.Series => ({ label, stroke: colour, value: shown, paths: () => null, points: { show: true, size: 8, width: 2, stroke: colour, fill: token('panel') } });
  const main: uPlot.Series = { label: says.value, stroke: accent, width: 1.6, value: shown, spanGaps: false, points: { show: few, size: 4, fill: accent } };
  const raw = (picture.shape as Line).bad.some((one) => one !== null) || (picture.shape as Line).uncertain.some((one) => one !== null);
  const marks = raw ? [dot(says.bad, token('critical')), dot(says.uncertain, token('alarm'))] : [];
  const other: uPlot.Series[] = picture.other === null ? [] : [{ label: says.other, stroke: token('unknown'), width: 1.4, dash: [6, 4], value: shown, spanGaps: false, points: { show: false } }];
  return [main, ...marks, ...other];
}

/** What of a picture the series of a panel depend on: where it changes, the panel is made anew. */
export function formOf({ shape, other }: Picture): string {
  if (shape.kind === 'bands') return 'bands';
  const raw = shape.bad.some((one) => one !== null) || shape.uncertain.some((one) => one !== null);
  return `line ${raw} ${other !== null} ${shape.count <= DENSE}`;
}

function dataOf({ shape, other }: Picture): uPlot.AlignedData {
  if (shape.kind === 'bands') {
    const times = shape.pieces.flatMap((piece) => [piece.from, piece.to]);
    return [times, times.map(() => 0.5)];
  }
  const raw = shape.bad.some((one) => one !== null) || shape.uncertain.some((one) => one !== null);
  const own: uPlot.AlignedData = raw ? [shape.time, shape.line, shape.bad, shape.uncertain] : [shape.time, shape.line];
  return other === null ? own : uPlot.join([own, [other.time, other.line]]);
}
