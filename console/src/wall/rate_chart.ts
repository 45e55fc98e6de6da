/** The alarm rate as a chart, in a chunk of its own: only what is drawn is taken of the library. */
import { BarChart, LineChart } from 'echarts/charts';
import { GridComponent } from 'echarts/components';
import { type ECharts, init, use } from 'echarts/core';
import { CanvasRenderer } from 'echarts/renderers';
import { token } from '../lib/theme.svelte';
import type { Hour } from './api';

use([BarChart, LineChart, GridComponent, CanvasRenderer]);

export class RateChart {
  readonly #chart: ECharts;
  readonly #watch: ResizeObserver;

  constructor(private readonly holder: HTMLElement) {
    this.#chart = init(holder, null, { renderer: 'canvas' });
    this.#watch = new ResizeObserver(() => this.#chart.resize());
    this.#watch.observe(holder);
  }

  show(hours: readonly Hour[], tag: string, zone: string): void {
    const hour = new Intl.DateTimeFormat(tag, { hour: '2-digit', hourCycle: 'h23', timeZone: zone });
    const size = Number.parseFloat(getComputedStyle(this.holder).fontSize) * 0.72;
    const text = { color: token('muted'), fontSize: size };
    const line = { type: 'line', symbol: 'none', step: 'middle', silent: true, animation: false } as const;
    this.#chart.setOption(
      {
        animation: false,
        grid: { left: size * 2.6, right: size, top: size, bottom: size * 2 },
        xAxis: { type: 'category', data: hours.map(({ start }) => hour.format(Date.parse(start))), axisLabel: { ...text, interval: 3 }, axisTick: { show: false }, axisLine: { lineStyle: { color: token('line-strong') } } },
        yAxis: { type: 'value', minInterval: 1, axisLabel: text, splitLine: { lineStyle: { color: token('line') } } },
        series: [
          { ...line, id: 'low', stack: 'band', data: hours.map(({ low }) => low), lineStyle: { opacity: 0 } },
          {
            ...line, id: 'band', stack: 'band', data: hours.map(({ low, high }) => (low === null || high === null ? null : high - low)), lineStyle: { opacity: 0 },
            areaStyle: { color: token('muted'), opacity: 0.28 },
          },
          { ...line, id: 'mean', data: hours.map(({ mean }) => mean), lineStyle: { color: token('muted'), type: 'dashed', width: size / 9 } },
          { id: 'count', type: 'bar', silent: true, data: hours.map(({ count }) => count), itemStyle: { color: token('accent') }, barWidth: '46%' },
        ],
      },
      { lazyUpdate: true },
    );
  }

  remove(): void {
    this.#watch.disconnect();
    this.#chart.dispose();
  }
}
