/** Lines of longitude and latitude under the devices: without a basemap they give scale and place. */
import type { FeatureCollection, LineString } from 'geojson';

const STEPS = [10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005];
const MOST_LINES = 60;

export type Bounds = { west: number; east: number; south: number; north: number };

/** The largest step that still draws some six lines across `width` degrees. */
export function stepFor(width: number): number {
  return STEPS.find((step) => width / step >= 6) ?? 0.0005;
}

function line(label: string, points: [number, number][], major: boolean): GeoJSON.Feature<LineString> {
  return { type: 'Feature', properties: { label, major }, geometry: { type: 'LineString', coordinates: points } };
}

function multiples(from: number, to: number, step: number): number[] {
  const first = Math.ceil(from / step);
  const count = Math.min(MOST_LINES, Math.floor(to / step) - first + 1);
  return Array.from({ length: Math.max(0, count) }, (_, i) => (first + i) * step);
}

export function graticule(b: Bounds): FeatureCollection<LineString> {
  const step = stepFor(b.east - b.west);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const isMajor = (value: number) => Math.round(value / step) % 5 === 0;
  const degrees = (value: number, plus: string, minus: string) => `${Math.abs(value).toFixed(digits)}°${value < 0 ? minus : plus}`;
  const margin = (b.north - b.south) / 2;
  const [south, north] = [Math.max(-85, b.south - margin), Math.min(85, b.north + margin)];
  const reach = (b.east - b.west) / 2;
  return {
    type: 'FeatureCollection',
    features: [
      ...multiples(b.west - reach, b.east + reach, step).map((x) => line(degrees(x, 'E', 'W'), [[x, south], [x, north]], isMajor(x))),
      ...multiples(south, north, step).map((y) => line(degrees(y, 'N', 'S'), [[b.west - reach, y], [b.east + reach, y]], isMajor(y))),
    ],
  };
}
