/** What the map draws of the city, from the ground up. */
import type { DataDrivenPropertyValueSpecification as DataDriven, ExpressionSpecification as Expression, LayerSpecification } from 'maplibre-gl';
import { token } from '../lib/theme.svelte';
import { t } from '../lib/words.svelte';
import { PARTS } from './donuts';

/** Up to this zoom the tiles hold cells, from it on each device. */
export const DEVICES_FROM = 15;
export const SOURCE = 'city';

const count = (name: string): Expression => ['coalesce', ['get', name], 0];
const MANY: Expression = ['>', ['get', 'n'], 1];
const SINGLE: Expression = ['==', ['get', 'n'], 1];
const WRONG: Expression = ['>', ['+', count('critical'), count('alarm')], 0];
/** The state of a cell of one device. */
const STATE: Expression = ['case', ['has', 'critical'], 'critical', ['has', 'alarm'], 'alarm', ['has', 'normal'], 'normal', ['has', 'offline'], 'offline', 'unknown'];

/** How many of the ring's parts: at least one where there is any. */
function parts(n: Expression): Expression {
  return ['case', ['>', n, 0], ['max', 1, ['round', ['/', ['*', PARTS, n], ['get', 'n']]]], 0];
}

/** 1234 as "1.2k": a badge has room for four letters. */
function short(n: Expression): Expression {
  return ['case', ['>=', n, 10000], ['concat', ['round', ['/', n, 1000]], 'k'], ['>=', n, 1000], ['concat', ['/', ['round', ['/', n, 100]], 10], 'k'], ['to-string', n]];
}

function told(name: 'critical' | 'alarm', sign: string): [Expression, { 'text-color': string; 'font-scale': number }] {
  return [['case', ['>', count(name), 0], ['concat', sign, short(count(name))], ''], { 'text-color': token(name), 'font-scale': 1 }];
}

function density(): LayerSpecification[] {
  const quiet: Expression = ['all', MANY, ['!', WRONG]];
  return [
    {
      id: 'density', type: 'circle', source: SOURCE, 'source-layer': 'cells', filter: quiet,
      paint: {
        'circle-radius': ['interpolate', ['linear'], ['ln', ['get', 'n']], 0.7, 8, 4.6, 14, 9.2, 24, 12, 28],
        'circle-color': token('map-text'), 'circle-opacity': 0.2, 'circle-stroke-width': 1, 'circle-stroke-color': token('map-text'), 'circle-stroke-opacity': 0.5,
      },
    },
    {
      id: 'density-count', type: 'symbol', source: SOURCE, 'source-layer': 'cells', filter: quiet,
      layout: { 'text-field': short(['get', 'n']), 'text-size': 11, 'text-allow-overlap': true, 'text-ignore-placement': true },
      paint: { 'text-color': token('text'), 'text-opacity': 0.8 },
    },
    {
      id: 'donuts', type: 'symbol', source: SOURCE, 'source-layer': 'cells', filter: ['all', MANY, WRONG],
      layout: {
        'icon-image': ['concat', 'donut-', parts(count('critical')), '-', parts(count('alarm')), '-', parts(['+', count('offline'), count('unknown')])],
        'icon-allow-overlap': true, 'icon-ignore-placement': true,
        'text-field': ['format', ...told('critical', '▲'), ['case', ['all', ['has', 'critical'], ['has', 'alarm']], '\n', ''], {}, ...told('alarm', '◆')],
        'text-size': 10.5, 'text-line-height': 1.1, 'text-allow-overlap': true, 'text-ignore-placement': true,
        'symbol-sort-key': ['+', ['*', 1000, count('critical')], count('alarm')],
      },
      paint: { 'text-color': token('text') },
    },
  ];
}

type From = { layer: 'cells' | 'devices'; filter: Expression; state: Expression };
const FROM: readonly From[] = [
  { layer: 'cells', filter: SINGLE, state: STATE },
  { layer: 'devices', filter: ['has', 'id'], state: ['get', 'state'] },
];
const SIZE_OF_MARK: DataDriven<number> = ['interpolate', ['linear'], ['zoom'], 8, 0.62, 13, 0.9, 17, 1.15];

/** Marks of devices; what is normal is a plain disc, which costs the renderer less than an image. */
function marks({ layer, filter, state }: From): LayerSpecification[] {
  const common = { source: SOURCE, 'source-layer': layer } as const;
  const normal: Expression = ['==', state, 'normal'];
  return [
    {
      id: `glow-${layer}`, type: 'circle', ...common, filter: ['all', filter, ['in', state, ['literal', ['critical', 'alarm']]]],
      paint: {
        'circle-radius': ['interpolate', ['linear'], ['zoom'], 8, 12, 15, 26], 'circle-blur': 0.9, 'circle-opacity': 0.34,
        'circle-color': ['match', state, 'critical', token('critical'), token('alarm')],
      },
    },
    {
      id: `rings-${layer}`, type: 'circle', ...common, filter: ['all', filter, ['>', count('cases'), 0]],
      paint: { 'circle-radius': 14, 'circle-opacity': 0, 'circle-stroke-width': 1.6, 'circle-stroke-color': token('text'), 'circle-stroke-opacity': 0.75 },
    },
    {
      id: `discs-${layer}`, type: 'circle', ...common, filter: ['all', filter, normal],
      paint: {
        'circle-radius': ['interpolate', ['linear'], ['zoom'], 8, 3.4, 13, 4.8, 17, 6.2], 'circle-color': token('normal'),
        'circle-stroke-width': 1.2, 'circle-stroke-color': token('map-ground'),
      },
    },
    // Below the marks in the stack, so placed after them: a name never covers a mark.
    {
      id: `names-${layer}`, type: 'symbol', ...common, filter, minzoom: 13,
      layout: { 'text-field': ['get', 'name'], 'text-size': 11.5, 'text-anchor': 'top', 'text-offset': [0, 1.35], 'text-padding': 1, 'text-max-width': 14, 'symbol-sort-key': ['-', 0, count('order')] },
      paint: { 'text-color': token('text'), 'text-halo-color': token('map-ground'), 'text-halo-width': 1.4 },
    },
    {
      id: `marks-${layer}`, type: 'symbol', ...common, filter: ['all', filter, ['!', normal]],
      layout: { 'icon-image': ['concat', 'mark-', state], 'icon-allow-overlap': true, 'icon-ignore-placement': true, 'icon-padding': 0, 'icon-size': SIZE_OF_MARK, 'symbol-sort-key': count('order') },
    },
  ];
}

const RANK: Expression = ['match', ['get', 'priority'], 'critical', 4, 'high', 3, 'medium', 2, 1];

/** Open cases. Where they crowd, the most urgent and among those the oldest is shown. */
function pins(): LayerSpecification {
  return {
    id: 'pins', type: 'symbol', source: SOURCE, 'source-layer': 'cases',
    layout: {
      'icon-image': ['concat', 'pin-', ['get', 'priority'], ['case', ['>=', count('age_h'), 24], '-old', '']],
      'icon-anchor': 'bottom', 'icon-offset': [0, -5], 'icon-size': ['interpolate', ['linear'], ['zoom'], 9, 0.72, 14, 1],
      'icon-allow-overlap': ['step', ['zoom'], false, DEVICES_FROM, true], 'icon-padding': 1,
      'text-field': ['case', ['>=', count('age_h'), 24], ['concat', ['floor', ['/', count('age_h'), 24]], t('time.d')], ''],
      'text-size': 10, 'text-anchor': 'left', 'text-offset': [1.1, -2.4], 'text-optional': true,
      'symbol-sort-key': ['-', 0, ['+', ['*', RANK, 100000], ['min', 99999, count('age_h')]]],
    },
    paint: { 'text-color': token('text'), 'text-halo-color': token('map-ground'), 'text-halo-width': 1.4 },
  };
}

export const PICKED = { pins: ['pins'], marks: FROM.flatMap(({ layer }) => [`marks-${layer}`, `discs-${layer}`]), cells: ['donuts', 'density'] } as const;

export function cityLayers(): LayerSpecification[] {
  const ring: LayerSpecification = {
    id: 'chosen', type: 'circle', source: 'chosen',
    paint: { 'circle-radius': 18, 'circle-opacity': 0.16, 'circle-color': token('accent'), 'circle-stroke-width': 2.2, 'circle-stroke-color': token('accent') },
  };
  return [...density(), ...FROM.flatMap(marks), ring, pins()];
}
