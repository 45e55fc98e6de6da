/** The map, in a chunk of its own: MapLibre over a blank style, so that nothing is ever asked of a foreign host. */
import type { Feature, FeatureCollection, Point } from 'geojson';
import { type GeoJSONSource, LngLatBounds, Map as LibreMap, type MapMouseEvent, ScaleControl, setWorkerUrl, type StyleSpecification } from 'maplibre-gl';
import 'maplibre-gl/dist/maplibre-gl.css';
// The bundler drops the worker unless it is named like this, and the map then stays blank in production only.
import workerUrl from 'maplibre-gl/dist/maplibre-gl-worker.mjs?worker&url';
import type { Device } from '../lib/api';
import { token } from '../lib/theme.svelte';
import { graticule } from './graticule';
import { drawMarks } from './marks';

setWorkerUrl(workerUrl);

/** Before any device is placed, show the country. */
const START: [number, number, number, number] = [100, 22, 124, 42];
const REACH_PX = 6;
const FONT = '"PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif';

export type Options = {
  onSelect: (ids: string[]) => void;
  /** How many devices are on the screen, whenever the picture has come to rest. */
  onDrawn: (count: number) => void;
};

const EMPTY: FeatureCollection = { type: 'FeatureCollection', features: [] };

function featureOf(device: Device): Feature<Point> | null {
  if (device.longitude === null || device.latitude === null) return null;
  return {
    type: 'Feature',
    geometry: { type: 'Point', coordinates: [device.longitude, device.latitude] },
    // Urgent marks are drawn last and so lie on top.
    properties: { id: device.id, name: device.name || device.id, state: device.state, cases: device.open_cases, order: { critical: 4, alarm: 3, normal: 2, offline: 1, unknown: 0 }[device.state] },
  };
}

function styleNow(): StyleSpecification {
  const state = (name: string) => token(name);
  return {
    version: 8,
    sources: {
      graticule: { type: 'geojson', data: EMPTY },
      devices: { type: 'geojson', data: EMPTY },
    },
    layers: [
      { id: 'ground', type: 'background', paint: { 'background-color': token('map-ground') } },
      {
        id: 'graticule', type: 'line', source: 'graticule',
        paint: { 'line-color': ['case', ['get', 'major'], token('map-line-strong'), token('map-line')], 'line-width': 1 },
      },
      {
        id: 'graticule-text', type: 'symbol', source: 'graticule',
        layout: { 'symbol-placement': 'line', 'symbol-spacing': 620, 'text-field': ['get', 'label'], 'text-size': 10.5, 'text-offset': [0, -0.7], 'text-max-angle': 10 },
        paint: { 'text-color': token('map-text') },
      },
      {
        id: 'glow', type: 'circle', source: 'devices', filter: ['in', ['get', 'state'], ['literal', ['critical', 'alarm']]],
        paint: {
          'circle-radius': ['interpolate', ['linear'], ['zoom'], 8, 12, 15, 26], 'circle-blur': 0.9,
          'circle-color': ['match', ['get', 'state'], 'critical', state('critical'), state('alarm')], 'circle-opacity': 0.34,
        },
      },
      {
        id: 'cases', type: 'circle', source: 'devices', filter: ['>', ['get', 'cases'], 0],
        paint: { 'circle-radius': 14, 'circle-opacity': 0, 'circle-stroke-width': 1.6, 'circle-stroke-color': token('text'), 'circle-stroke-opacity': 0.75 },
      },
      {
        id: 'chosen', type: 'circle', source: 'devices', filter: ['==', ['get', 'id'], ''],
        paint: { 'circle-radius': 18, 'circle-opacity': 0.16, 'circle-color': token('accent'), 'circle-stroke-width': 2.2, 'circle-stroke-color': token('accent') },
      },
      // Below the marks in the stack, so placed after them: a name never covers a mark.
      {
        id: 'names', type: 'symbol', source: 'devices', minzoom: 13,
        layout: { 'text-field': ['get', 'name'], 'text-size': 11.5, 'text-anchor': 'top', 'text-offset': [0, 1.35], 'text-padding': 1, 'text-max-width': 14, 'symbol-sort-key': ['-', 0, ['get', 'order']] },
        paint: { 'text-color': token('text'), 'text-halo-color': token('map-ground'), 'text-halo-width': 1.4 },
      },
      {
        id: 'devices', type: 'symbol', source: 'devices',
        layout: {
          'icon-image': ['concat', 'mark-', ['get', 'state']], 'icon-allow-overlap': true, 'icon-padding': 0,
          'icon-size': ['interpolate', ['linear'], ['zoom'], 8, 0.62, 13, 0.9, 17, 1.15], 'symbol-sort-key': ['get', 'order'],
        },
      },
    ],
  };
}

export class CityMap {
  readonly #map: LibreMap;
  #features: Feature<Point>[] = [];
  #chosen: string[] = [];
  #fitted = false;

  constructor(container: HTMLElement, private readonly options: Options) {
    this.#map = new LibreMap({
      container, style: styleNow(), bounds: START, attributionControl: false, localIdeographFontFamily: FONT,
      dragRotate: false, pitchWithRotate: false, maxPitch: 0, maxZoom: 19, fadeDuration: matchMedia('(prefers-reduced-motion: reduce)').matches ? 0 : 200,
    });
    this.#map.touchZoomRotate.disableRotation();
    this.#map.keyboard.disableRotation();
    this.#map.addControl(new ScaleControl({ unit: 'metric' }), 'bottom-right');
    this.#map.on('style.load', () => this.#dress());
    this.#map.on('moveend', () => this.#drawGraticule());
    this.#map.on('click', (event) => this.options.onSelect(this.#at(event)));
    this.#map.on('mousemove', (event) => (this.#map.getCanvas().style.cursor = this.#at(event).length > 0 ? 'pointer' : ''));
    this.#map.on('idle', () => this.options.onDrawn(this.#drawn()));
  }

  show(devices: readonly Device[]): void {
    this.#features = devices.map(featureOf).filter((f) => f !== null);
    this.#source('devices')?.setData({ type: 'FeatureCollection', features: this.#features });
    if (!this.#fitted && this.#features.length > 0) this.fit(false);
  }

  choose(ids: string[]): void {
    this.#chosen = ids;
    if (this.#map.getLayer('chosen')) this.#map.setFilter('chosen', ['in', ['get', 'id'], ['literal', ids]]);
  }

  /** Bring one device into the middle, near enough to read its name. */
  goTo(device: Device): void {
    if (device.longitude === null || device.latitude === null) return;
    this.#map.easeTo({ center: [device.longitude, device.latitude], zoom: Math.max(14, this.#map.getZoom()), duration: 500 });
  }

  fit(animate = true): void {
    const bounds = new LngLatBounds();
    for (const feature of this.#features) bounds.extend(feature.geometry.coordinates as [number, number]);
    if (bounds.isEmpty()) return;
    this.#fitted = true;
    this.#map.fitBounds(bounds, { padding: { top: 56, left: 72, right: 72, bottom: 92 }, maxZoom: 15, animate });
  }

  zoomBy(step: number): void {
    this.#map.zoomTo(this.#map.getZoom() + step, { duration: 200 });
  }

  /** Take the colours of the present theme. */
  recolour(): void {
    this.#map.setStyle(styleNow(), { diff: false });
  }

  remove(): void {
    this.#map.remove();
  }

  #source(name: string): GeoJSONSource | undefined {
    return this.#map.getSource<GeoJSONSource>(name);
  }

  #dress(): void {
    for (const { name, image, ratio } of drawMarks()) {
      if (!this.#map.hasImage(name)) this.#map.addImage(name, image, { pixelRatio: ratio });
    }
    this.#source('devices')?.setData({ type: 'FeatureCollection', features: this.#features });
    this.choose(this.#chosen);
    this.#drawGraticule();
  }

  #drawGraticule(): void {
    const b = this.#map.getBounds();
    this.#source('graticule')?.setData(graticule({ west: b.getWest(), east: b.getEast(), south: b.getSouth(), north: b.getNorth() }));
  }

  #at(event: MapMouseEvent): string[] {
    if (!this.#map.getLayer('devices')) return [];
    const { x, y } = event.point;
    const hits = this.#map.queryRenderedFeatures([[x - REACH_PX, y - REACH_PX], [x + REACH_PX, y + REACH_PX]], { layers: ['devices'] });
    return [...new Set(hits.map((hit) => String(hit.properties['id'])))];
  }

  #drawn(): number {
    if (!this.#map.getLayer('devices')) return 0;
    return new Set(this.#map.queryRenderedFeatures({ layers: ['devices'] }).map((f) => f.properties['id'])).size;
  }
}
