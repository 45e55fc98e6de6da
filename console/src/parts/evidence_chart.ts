/** The raw values round an alarm with the limit that was in force, by uPlot, dressed in the theme's colours. */
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { FINE, numberOf } from '../lib/format';
import type { RawColumns } from '../lib/series';
import { token } from '../lib/theme.svelte';
import { t } from '../lib/words.svelte';

export type EvidencePicture = { columns: RawColumns; from: number; to: number; raised: number; limits: readonly number[]; says: { limit: string; raised: string } };

const shown = (_u: uPlot, value: number | null) => (value === null ? '—' : numberOf(value));

/** A limit must be seen even where no value came near it. */
function range(limits: readonly number[]) {
  return (_u: uPlot, low: number | null, high: number | null): [number, number] => {
    const all = [...limits, ...(low === null ? [] : [low]), ...(high === null ? [] : [high])];
    const [least, most] = [Math.min(...all, Infinity), Math.max(...all, -Infinity)];
    if (!Number.isFinite(least) || !Number.isFinite(most)) return [0, 1];
    const air = (most - least || Math.abs(most) || 1) * 0.08;
    return [least - air, most + air];
  };
}

/** Lines of the limits and of the moment of the alarm, with their words: colour alone would not say which is which. */
function marks(picture: EvidencePicture) {
  return (plot: uPlot): void => {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
    [ctx.textAlign, ctx.textBaseline] = ['left', 'alphabetic'];
    ctx.lineWidth = 1.5 * devicePixelRatio;
    ctx.strokeStyle = ctx.fillStyle = token('critical');
    ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
    for (const limit of picture.limits) {
      const y = plot.valToPos(limit, 'y', true);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      ctx.fillText(`${picture.says.limit} ${numberOf(limit)}`, bbox.left + 6 * devicePixelRatio, y - 5 * devicePixelRatio);
    }
    ctx.strokeStyle = ctx.fillStyle = token('alarm');
    ctx.setLineDash([]);
    const x = plot.valToPos(picture.raised, 'x', true);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.fillText(picture.says.raised, x + 5 * devicePixelRatio, bbox.top + 14 * devicePixelRatio);
    ctx.restore();
  };
}

/** Draw into `holder`; gives what takes it away again. */
export function drawEvidence(holder: HTMLElement, picture: EvidencePicture): () => void {
  const common = { stroke: token('muted'), grid: { stroke: token('line'), width: 1 }, ticks: { stroke: token('line-strong'), width: 1, size: 5 }, font: '12px system-ui, sans-serif' };
  const dot = (label: string, colour: string): uPlot.Series => ({ label, stroke: colour, value: shown, paths: () => null, points: { show: true, size: 8, width: 2, stroke: colour, fill: token('panel') } });
  const size = () => ({ width: Math.max(220, holder.clientWidth), height: 240 });
  const c = picture.columns;
  const plot = new uPlot({
    ...size(),
    scales: { x: { min: picture.from, max: picture.to }, y: { range: range(picture.limits) } },
    axes: [{ ...common, values: [[60, '{HH}:{mm}', null, null, null, null, null, null, 1], [1, '{HH}:{mm}:{ss}', null, null, null, null, null, null, 1]] }, { ...common, size: 62, values: (_u, ticks) => ticks.map((v) => numberOf(v, FINE)) }],
    legend: { live: true, markers: { width: 2 } },
    cursor: { y: false, points: { size: 7 } },
    series: [
      { label: t('chart.time'), value: (_u, v) => (v === null ? '—' : new Intl.DateTimeFormat('sv-SE', { dateStyle: 'short', timeStyle: 'medium' }).format(v * 1000)) },
      { label: t('chart.value'), stroke: token('accent'), width: 1.6, value: shown, spanGaps: false, points: { show: c.time.length <= 240, size: 4, fill: token('accent') } },
      dot(t('chart.bad'), token('critical')), dot(t('chart.uncertain'), token('alarm')),
    ],
    hooks: { draw: [marks(picture)] },
  }, [c.time, c.line, c.bad, c.uncertain], holder);
  const watch = new ResizeObserver(() => plot.setSize(size()));
  watch.observe(holder);
  return () => {
    watch.disconnect();
    plot.destroy();
  };
}
