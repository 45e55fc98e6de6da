/** The ground under the city, from this origin alone: nothing, pictures by z/x/y, or one PMTiles archive. */
import { addProtocol, type LayerSpecification, type SourceSpecification } from 'maplibre-gl';
import type { Basemap } from '../lib/api_map';
import { theme, token } from '../lib/theme.svelte';

export type Ground = { sources: Record<string, SourceSpecification>; layers: () => LayerSpecification[] };
export const BARE: Ground = { sources: {}, layers: () => [] };

/** The tile type that a PMTiles header names for vector tiles (PMTiles specification 3, 3.2). */
const VECTOR = 1;
const absolute = (url: string) => new URL(url, location.origin).href.replaceAll('%7B', '{').replaceAll('%7D', '}');

/** What is known of the ground without asking: pictures, or nothing yet. */
export function groundNow({ kind, url }: Basemap): Ground {
  return kind === 'xyz' ? pictures({ type: 'raster', tiles: [absolute(url)], tileSize: 256 }) : BARE;
}

/** The ground of an archive; BARE where it cannot be had: the city is shown all the same. */
export async function groundOf({ url }: Basemap): Promise<Ground> {
  try {
    return await archive(absolute(url));
  } catch (fault) {
    console.warn('basemap:', fault);
    return BARE;
  }
}

function pictures(source: SourceSpecification): Ground {
  const paint = () => (theme.now === 'dark' ? { 'raster-brightness-max': 0.55, 'raster-saturation': -0.6, 'raster-contrast': 0.1 } : { 'raster-saturation': -0.35 });
  return { sources: { basemap: source }, layers: () => [{ id: 'basemap', type: 'raster', source: 'basemap', paint: paint() }] };
}

let reader: import('pmtiles').Protocol | null = null;

async function archive(url: string): Promise<Ground> {
  const { PMTiles, Protocol } = await import('pmtiles');
  if (reader === null) {
    reader = new Protocol();
    addProtocol('pmtiles', reader.tile);
  }
  const file = new PMTiles(url);
  reader.add(file);
  const header = await file.getHeader();
  if (header.tileType !== VECTOR) return pictures({ type: 'raster', url: `pmtiles://${url}`, tileSize: 256 });
  return { sources: { basemap: { type: 'vector', url: `pmtiles://${url}` } }, layers: drawing };
}

/** Quiet lines in the theme's colours, by the layer names of the Protomaps basemap (version 4). */
function drawing(): LayerSpecification[] {
  const common = { source: 'basemap' } as const;
  const [line, strong, text] = [token('map-line'), token('map-line-strong'), token('map-text')];
  return [
    { id: 'base-water', type: 'fill', ...common, 'source-layer': 'water', paint: { 'fill-color': line } },
    { id: 'base-buildings', type: 'fill', ...common, 'source-layer': 'buildings', minzoom: 14, paint: { 'fill-color': line, 'fill-opacity': 0.5 } },
    { id: 'base-roads', type: 'line', ...common, 'source-layer': 'roads', paint: { 'line-color': strong, 'line-width': ['interpolate', ['linear'], ['zoom'], 8, 0.5, 16, 3] } },
    { id: 'base-borders', type: 'line', ...common, 'source-layer': 'boundaries', paint: { 'line-color': text, 'line-dasharray': [3, 2], 'line-opacity': 0.6 } },
    {
      id: 'base-roads-text', type: 'symbol', ...common, 'source-layer': 'roads', minzoom: 14,
      layout: { 'symbol-placement': 'line', 'text-field': ['get', 'name'], 'text-size': 11 }, paint: { 'text-color': text, 'text-halo-color': token('map-ground'), 'text-halo-width': 1.2 },
    },
    {
      id: 'base-places', type: 'symbol', ...common, 'source-layer': 'places',
      layout: { 'text-field': ['get', 'name'], 'text-size': 12 }, paint: { 'text-color': text, 'text-halo-color': token('map-ground'), 'text-halo-width': 1.2 },
    },
  ];
}
