/** uPlot, in a chunk of its own, dressed in the theme's colours. */
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { FINE, numberOf } from '../lib/format';
import type { BucketColumns, RawColumns } from '../lib/series';
import { token } from '../lib/theme.svelte';
import { t } from '../lib/words.svelte';

export type Picture =
  | { kind: 'raw'; columns: RawColumns; boolean: boolean; from: number; to: number }
  | { kind: 'bucket'; columns: BucketColumns; from: number; to: number };

const DENSE = 240;

function axes(boolean: boolean): uPlot.Axis[] {
  const common = { stroke: token('muted'), grid: { stroke: token('line'), width: 1 }, ticks: { stroke: token('line-strong'), width: 1, size: 5 }, font: '12px system-ui, sans-serif' };
  const time: uPlot.Axis = { ...common, values: [
    [86400, '{MM}-{DD}', null, null, null, null, null, null, 1],
    [3600, '{HH}:{mm}', '\n{MM}-{DD}', null, '\n{MM}-{DD}', null, null, null, 1],
    [60, '{HH}:{mm}', '\n{MM}-{DD}', null, '\n{MM}-{DD}', null, null, null, 1],
    [1, '{HH}:{mm}:{ss}', '\n{MM}-{DD}', null, '\n{MM}-{DD}', null, null, null, 1],
  ] };
  const value: uPlot.Axis = { ...common, size: 62, values: (_u, ticks) => ticks.map((v) => (boolean ? (v === 0 ? t('value.false') : v === 1 ? t('value.true') : '') : numberOf(v, FINE))) };
  return [time, value];
}

const shown = (_u: uPlot, value: number | null) => (value === null ? '—' : numberOf(value));

function bands(): uPlot.Series[] {
  const accent = token('accent');
  return [
    { label: t('chart.max'), stroke: 'transparent', value: shown, points: { show: false } },
    { label: t('chart.min'), stroke: 'transparent', value: shown, points: { show: false } },
    { label: t('chart.mean'), stroke: accent, width: 1.6, value: shown, spanGaps: false },
  ];
}

function rawSeries(count: number, boolean: boolean): uPlot.Series[] {
  const accent = token('accent');
  const point = (label: string, colour: string): uPlot.Series => ({
    label, stroke: colour, value: shown, paths: () => null, points: { show: true, size: 8, width: 2, stroke: colour, fill: token('panel') },
  });
  const line: uPlot.Series = { label: t('chart.value'), stroke: accent, width: 1.6, value: shown, spanGaps: false, points: { show: count <= DENSE, size: 4, fill: accent } };
  const stepped = uPlot.paths.stepped?.({ align: 1 });
  if (boolean && stepped !== undefined) line.paths = stepped;
  return [line, point(t('chart.bad'), token('critical')), point(t('chart.uncertain'), token('alarm'))];
}

function dataOf(picture: Picture): uPlot.AlignedData {
  const c = picture.columns;
  return 'line' in c ? [c.time, c.line, c.bad, c.uncertain] : [c.time, c.max, c.min, c.mean];
}

/** Draw `picture` into `holder`; gives what takes it away again. */
export function draw(holder: HTMLElement, picture: Picture): () => void {
  const boolean = picture.kind === 'raw' && picture.boolean;
  const size = () => ({ width: Math.max(220, holder.clientWidth), height: holder.clientWidth < 520 ? 240 : 320 });
  const options: uPlot.Options = {
    ...size(),
    scales: { x: { min: picture.from, max: picture.to }, y: boolean ? { range: [-0.15, 1.15] } : {} },
    axes: axes(boolean),
    legend: { live: true, markers: { width: 2 } },
    cursor: { y: false, points: { size: 7 } },
    series: [{ label: t('chart.time'), value: (_u, v) => (v === null ? '—' : new Intl.DateTimeFormat('sv-SE', { dateStyle: 'short', timeStyle: 'medium' }).format(v * 1000)) }, ...(picture.kind === 'raw' ? rawSeries(picture.columns.time.length, boolean) : bands())],
  };
  if (picture.kind === 'bucket') options.bands = [{ series: [1, 2], fill: `${token('accent')}38` }];
  const plot = new uPlot(options, dataOf(picture), holder);
  const watch = new ResizeObserver(() => plot.setSize(size()));
  watch.observe(holder);
  return () => {
    watch.disconnect();
    plot.destroy();
  };
}
