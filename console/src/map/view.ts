/** Where the map looks, as the address and the server are told it. */
import type { Box } from '../lib/api_map';

export type View = { center: [number, number]; zoom: number };
/** A view that came to rest: what it shows, and the zoom of the tiles it shows it with. */
export type Rest = View & { box: Box; tiles: number };

/** Beyond it MapLibre stretches what it has. */
export const TILES_TO = 16;
const CELLS_TO = 14;
/** A cell is an eighth of a tile wide. */
const CELLS = 8;

/** `113.32641,23.12912,14.25`, or null where it is no place on earth. */
export function viewOf(text: string): View | null {
  const [lng, lat, zoom, ...more] = text.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
  if (lng === undefined || lat === undefined || zoom === undefined || more.length > 0) return null;
  const fits = Math.abs(lng) <= 180 && Math.abs(lat) <= 85 && zoom >= 0 && zoom <= 22;
  return fits ? { center: [lng, lat], zoom } : null;
}

export function textOf({ center: [lng, lat], zoom }: View): string {
  const digits = zoom > 15 ? 6 : zoom > 10 ? 5 : 4;
  return `${lng.toFixed(digits)},${lat.toFixed(digits)},${zoom.toFixed(2)}`;
}

export function boxText(box: Box): string {
  return box.map((degrees) => degrees.toFixed(6)).join(',');
}

/** A box as it stands in the address; null where it is none. */
export function boxOf(text: string): Box | null {
  const [w, s, e, n, ...more] = text.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
  if (w === undefined || s === undefined || e === undefined || n === undefined || more.length > 0) return null;
  return w >= -180 && e <= 180 && s >= -90 && n <= 90 && w <= e && s <= n ? [w, s, e, n] : null;
}

/** The cell of the pyramid that holds a position, at the tiles that a view of this zoom shows. */
export function cellAt([lng, lat]: [number, number], zoom: number): Box {
  const across = 2 ** Math.min(CELLS_TO, Math.max(0, Math.floor(zoom))) * CELLS;
  const y = (1 - Math.asinh(Math.tan((lat * Math.PI) / 180)) / Math.PI) / 2;
  const [column, row] = [Math.floor(((lng + 180) / 360) * across), Math.floor(y * across)];
  const latitude = (line: number) => (Math.atan(Math.sinh(Math.PI * (1 - (2 * line) / across))) * 180) / Math.PI;
  return [(column / across) * 360 - 180, latitude(row + 1), ((column + 1) / across) * 360 - 180, latitude(row)];
}
