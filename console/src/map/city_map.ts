/** The map, in a chunk of its own: MapLibre over tiles of this origin, so that nothing is ever asked of a foreign host. */
import type { FeatureCollection } from 'geojson';
import {
  type GeoJSONSource, LngLatBounds, Map as LibreMap, type MapGeoJSONFeature, type MapMouseEvent, type PointLike, ScaleControl, setWorkerUrl, type StyleSpecification,
  type VectorTileSource,
} from 'maplibre-gl';
import 'maplibre-gl/dist/maplibre-gl.css';
// The bundler drops the worker unless it is named like this, and the map then stays blank in production only.
import workerUrl from 'maplibre-gl/dist/maplibre-gl-worker.mjs?worker&url';
import type { Priority } from '../lib/api';
import type { Box, MapInfo, Outlines } from '../lib/api_map';
import type { Position } from '../lib/place';
import type { News } from '../lib/stream.svelte';
import { token } from '../lib/theme.svelte';
import { words } from '../lib/words.svelte';
import { BARE, type Ground, groundNow, groundOf } from './basemap';
import { toDisplay } from './crs';
import { drawDonut } from './donuts';
import { graticule } from './graticule';
import { cityLayers, DEVICES_FROM, PICKED, SOURCE } from './layers';
import { drawMarks } from './marks';
import { cellAt, TILES_TO, type Rest, type View } from './view';

setWorkerUrl(workerUrl);

/** Before any device is placed, show the country. */
const START: Box = [100, 22, 124, 42];
const REACH_PX = 6;
const FONT = '"PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif';
/** A click on a cell of so many devices lists them; one of more goes nearer. */
const LISTED = 200;
/** Tiles that changed are asked again at most this often. */
const REFRESH_MS = 1000;
const EMPTY: FeatureCollection = { type: 'FeatureCollection', features: [] };
const CALM = matchMedia('(prefers-reduced-motion: reduce)').matches;

export type Pin = { id: number; priority: Priority; device: string; title: { zh: string; en: string }; age_h: number; at: [number, number] };
export type Pick = { of: 'nothing' } | { of: 'device'; id: string } | { of: 'cases'; cases: Pin[] } | { of: 'box'; box: Box };
/** What stands on the screen: devices (each of a cell's too), badges of cells with something wrong, open cases, critical devices. */
export type Drawn = { devices: number; donuts: number; pins: number; critical: number };

export type Options = {
  info: MapInfo;
  tiles: string;
  view: View | null;
  onPick: (pick: Pick) => void;
  onRest: (rest: Rest) => void;
  /** Whenever the picture has come to rest. */
  onDrawn: (drawn: Drawn) => void;
};

export class CityMap {
  readonly #map: LibreMap;
  #ground: Ground;
  #tiles: string;
  #chosen: FeatureCollection = EMPTY;
  #districts: FeatureCollection = EMPTY;
  #dirty = new Set<string>();
  #refreshed = 0;
  #version: number;
  #timer: ReturnType<typeof setTimeout> | null = null;

  constructor(container: HTMLElement, private readonly options: Options) {
    this.#tiles = options.tiles;
    this.#version = options.info.version;
    this.#ground = groundNow(options.info.basemap);
    const start = options.view === null ? { bounds: this.#bounds(), fitBoundsOptions: ROOM } : options.view;
    this.#map = new LibreMap({
      container, style: this.#style(), ...start, attributionControl: false, localIdeographFontFamily: FONT, maxPitch: 0, maxZoom: 20,
      dragRotate: false, pitchWithRotate: false, fadeDuration: CALM ? 0 : 150, renderWorldCopies: false,
      // What left the screen is asked again when it comes back (304 where nothing changed): nobody told of its changes meanwhile.
      maxTileCacheSize: 0,
    });
    this.#map.touchZoomRotate.disableRotation();
    this.#map.keyboard.disableRotation();
    this.#map.addControl(new ScaleControl({ unit: 'metric' }), 'bottom-right');
    this.#map.on('style.load', () => this.#dress());
    this.#map.setMissingStyleImageResolver((name) => this.#draw(name));
    this.#map.on('moveend', () => this.#rest());
    this.#map.on('load', () => this.#rest());
    this.#map.on('click', (event) => this.options.onPick(this.#pick(event)));
    this.#map.on('mousemove', (event) => (this.#map.getCanvas().style.cursor = this.#at(event.point, this.#layers()).length > 0 ? 'pointer' : ''));
    this.#map.on('idle', () => this.options.onDrawn(this.#drawn()));
    // A tile that does not come is asked again when the stream is back; the picture that was there stays.
    this.#map.on('error', ({ error }) => console.info('map:', error.message));
    if (options.info.basemap.kind === 'pmtiles') this.#map.once('load', () => void this.#lay());
  }

  /** Other filters: every tile anew. */
  setTiles(url: string): void {
    if (url === this.#tiles) return;
    this.#tiles = url;
    this.#map.getSource<VectorTileSource>(SOURCE)?.setTiles([url]);
  }

  /** News of the stream: which tiles are others now, or that some were missed. */
  hear({ kind, data }: News): void {
    if (kind === 'gap') this.reload();
    if (kind !== 'tiles') return;
    const version = Number(data['version']);
    const tiles = Array.isArray(data['tiles']) ? data['tiles'].map(String) : null;
    // The first word of a stream names none: what changed before it, and after the tiles came, nobody told.
    if (tiles === null || (tiles.length === 0 && version > this.#version)) this.reload();
    else this.refresh(tiles);
    this.#version = version;
  }

  /** Ask again for these tiles (`z/x/y`), soon. */
  refresh(tiles: readonly string[]): void {
    for (const tile of tiles) this.#dirty.add(tile);
    const wait = Math.max(0, this.#refreshed + REFRESH_MS - Date.now());
    this.#timer ??= setTimeout(() => this.#flush(), wait);
  }

  /** Ask again for all that is on the screen. */
  reload(): void {
    this.#dirty.clear();
    if (this.#map.getSource(SOURCE)) this.#map.refreshTiles(SOURCE);
  }

  choose(place: Position | null): void {
    const point = (at: [number, number]) => ({ type: 'Feature' as const, properties: {}, geometry: { type: 'Point' as const, coordinates: at } });
    this.#chosen = { type: 'FeatureCollection', features: place === null ? [] : [point(this.#display(place.longitude, place.latitude))] };
    this.#source('chosen')?.setData(this.#chosen);
  }

  /** The borders of the districts, for a map without a basemap. */
  outline(districts: Outlines): void {
    this.#districts = districts;
    this.#source('districts')?.setData(districts);
  }

  /** Bring a place (WGS-84) into the middle, near enough to tell it from its neighbours. */
  goTo({ longitude, latitude }: Position): void {
    this.#map.easeTo({ center: this.#display(longitude, latitude), zoom: Math.max(DEVICES_FROM + 1, this.#map.getZoom()), duration: CALM ? 0 : 500 });
  }

  fit(): void {
    this.#map.fitBounds(this.#bounds(), { ...ROOM, animate: !CALM });
  }

  /** Bring a box (WGS-84) onto the screen. */
  show([west, south, east, north]: Box): void {
    this.#map.fitBounds([this.#display(west, south), this.#display(east, north)], { ...ROOM, animate: !CALM });
  }

  zoomBy(step: number): void {
    this.#map.zoomTo(this.#map.getZoom() + step, { duration: CALM ? 0 : 200 });
  }

  /** Take the colours and words of the present theme and language. */
  recolour(): void {
    this.#map.setStyle(this.#style(), { diff: false });
  }

  remove(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#map.remove();
  }

  async #lay(): Promise<void> {
    this.#ground = await groundOf(this.options.info.basemap);
    this.recolour();
  }

  #style(): StyleSpecification {
    const bare = this.#ground === BARE;
    const grid: StyleSpecification['layers'] = [
      {
        id: 'graticule', type: 'line', source: 'graticule',
        paint: { 'line-color': ['case', ['get', 'major'], token('map-line-strong'), token('map-line')], 'line-width': 1 },
      },
      {
        id: 'graticule-text', type: 'symbol', source: 'graticule',
        layout: { 'symbol-placement': 'line', 'symbol-spacing': 620, 'text-field': ['get', 'label'], 'text-size': 10.5, 'text-offset': [0, -0.7], 'text-max-angle': 10 },
        paint: { 'text-color': token('map-text') },
      },
      { id: 'districts', type: 'line', source: 'districts', paint: { 'line-color': token('map-text'), 'line-width': 1.4, 'line-dasharray': [4, 3], 'line-opacity': 0.7 } },
      {
        id: 'districts-text', type: 'symbol', source: 'districts', maxzoom: 15,
        layout: { 'text-field': ['get', words.lang], 'text-size': 15, 'text-letter-spacing': 0.2, 'text-padding': 8 },
        paint: { 'text-color': token('map-text'), 'text-halo-color': token('map-ground'), 'text-halo-width': 1.4 },
      },
    ];
    return {
      version: 8,
      sources: {
        ...this.#ground.sources,
        graticule: { type: 'geojson', data: EMPTY },
        [SOURCE]: { type: 'vector', tiles: [this.#tiles], minzoom: 0, maxzoom: TILES_TO },
        chosen: { type: 'geojson', data: this.#chosen },
        districts: { type: 'geojson', data: this.#districts },
      },
      layers: [{ id: 'ground', type: 'background', paint: { 'background-color': token('map-ground') } }, ...this.#ground.layers(), ...(bare ? grid : []), ...cityLayers()],
    };
  }

  #dress(): void {
    for (const { name } of drawMarks()) if (this.#map.hasImage(name)) this.#map.removeImage(name);
    for (const { name, image, ratio } of drawMarks()) this.#map.addImage(name, image, { pixelRatio: ratio });
    this.#drawGraticule();
  }

  #draw(name: string): void {
    const drawn = drawDonut(name);
    if (drawn !== null && !this.#map.hasImage(name)) this.#map.addImage(name, drawn.image, { pixelRatio: drawn.ratio });
  }

  #source(name: string): GeoJSONSource | undefined {
    return this.#map.getSource<GeoJSONSource>(name);
  }

  #display(longitude: number, latitude: number): [number, number] {
    return toDisplay(this.options.info.crs, longitude, latitude);
  }

  #bounds(): LngLatBounds {
    const [west, south, east, north] = this.options.info.bounds ?? START;
    return new LngLatBounds([west, south], [east, north]);
  }

  #flush(): void {
    this.#timer = null;
    this.#refreshed = Date.now();
    const tiles = [...this.#dirty].map((tile) => tile.split('/').map(Number)).map(([z = 0, x = 0, y = 0]) => ({ z, x, y }));
    this.#dirty.clear();
    if (tiles.length > 0 && this.#map.getSource(SOURCE)) this.#map.refreshTiles(SOURCE, tiles);
  }

  #rest(): void {
    this.#drawGraticule();
    const b = this.#map.getBounds();
    const { lng, lat } = this.#map.getCenter();
    const zoom = this.#map.getZoom();
    const box: Box = [Math.max(-180, b.getWest()), Math.max(-85.06, b.getSouth()), Math.min(180, b.getEast()), Math.min(85.06, b.getNorth())];
    this.options.onRest({ center: [lng, lat], zoom, box, tiles: Math.min(TILES_TO, Math.floor(zoom)) });
  }

  #drawGraticule(): void {
    if (this.#ground !== BARE) return;
    const b = this.#map.getBounds();
    this.#source('graticule')?.setData(graticule({ west: b.getWest(), east: b.getEast(), south: b.getSouth(), north: b.getNorth() }));
  }

  #layers(): string[] {
    return [...PICKED.pins, ...PICKED.marks, ...PICKED.cells];
  }

  #at({ x, y }: { x: number; y: number }, layers: string[]): MapGeoJSONFeature[] {
    if (!this.#map.getLayer('pins')) return [];
    const reach: [PointLike, PointLike] = [[x - REACH_PX, y - REACH_PX], [x + REACH_PX, y + REACH_PX]];
    return this.#map.queryRenderedFeatures(reach, { layers });
  }

  #pick(event: MapMouseEvent): Pick {
    const hits = this.#at(event.point, this.#layers());
    const of = (layers: readonly string[]) => hits.filter((hit) => layers.includes(hit.layer.id));
    const pins = new Map(of(PICKED.pins).map((hit) => [Number(hit.properties['id']), pinOf(hit)]));
    if (pins.size > 0) return { of: 'cases', cases: [...pins.values()] };
    const marks = [...new Set(of(PICKED.marks).map((hit) => String(hit.properties['id'])))];
    const [only] = marks;
    if (only !== undefined && marks.length === 1) return { of: 'device', id: only };
    if (only !== undefined) return { of: 'box', box: this.#around(event) };
    const [cell] = of(PICKED.cells);
    return cell === undefined ? { of: 'nothing' } : this.#cell(cell);
  }

  #around({ point: { x, y } }: MapMouseEvent): Box {
    const reach = REACH_PX * 2;
    const [a, b] = [this.#map.unproject([x - reach, y + reach]), this.#map.unproject([x + reach, y - reach])];
    return [a.lng, a.lat, b.lng, b.lat];
  }

  #cell(cell: MapGeoJSONFeature): Pick {
    const at = placeOf(cell);
    const zoom = this.#map.getZoom();
    if (Number(cell.properties['n']) <= LISTED) return { of: 'box', box: cellAt(at, zoom) };
    this.#map.easeTo({ center: at, zoom: Math.min(DEVICES_FROM, zoom + 2), duration: CALM ? 0 : 500 });
    return { of: 'nothing' };
  }

  #drawn(): Drawn {
    const drawn: Drawn = { devices: 0, donuts: 0, pins: 0, critical: 0 };
    if (!this.#map.getLayer('pins')) return drawn;
    const seen = new Set<string>();
    for (const hit of this.#map.queryRenderedFeatures({ layers: this.#layers() })) {
      const key = `${hit.layer.id === 'pins'}/${String(hit.properties['id'] ?? placeOf(hit))}`;
      if (seen.has(key)) continue;
      seen.add(key);
      if (hit.layer.id === 'pins') {
        drawn.pins += 1;
        continue;
      }
      const { n, critical, state } = hit.properties;
      drawn.devices += Number(n ?? 1);
      drawn.critical += Number(critical ?? (state === 'critical' ? 1 : 0));
      if (hit.layer.id === 'donuts') drawn.donuts += 1;
    }
    return drawn;
  }
}

/** Room for the tools at the map's edges. */
const ROOM = { padding: { top: 56, left: 72, right: 72, bottom: 92 }, maxZoom: 15 };

function placeOf(hit: MapGeoJSONFeature): [number, number] {
  return hit.geometry.type === 'Point' ? [hit.geometry.coordinates[0] ?? 0, hit.geometry.coordinates[1] ?? 0] : [0, 0];
}

function pinOf(hit: MapGeoJSONFeature): Pin {
  const { id, priority, device, age_h, title_zh, title_en } = hit.properties;
  return {
    id: Number(id), priority: String(priority) as Priority, device: String(device ?? ''), age_h: Number(age_h ?? 0), at: placeOf(hit),
    title: { zh: String(title_zh ?? ''), en: String(title_en ?? '') },
  };
}
