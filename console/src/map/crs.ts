/** From WGS-84 to the basemap's own coordinates, for the few places that the page marks itself; the tiles come converted.
 *
 * GCJ-02 and BD-09 have no public standard: these are the formulas that everybody uses, and the server has the same.
 */
import type { Crs } from '../lib/api_map';

const AXIS_M = 6378245.0; // Krasovsky 1940
const ECCENTRICITY2 = 0.00669342162296594323;
const rad = (degrees: number) => (degrees * Math.PI) / 180;

function waves(x: number, a: number, b: number): number {
  const short = 20 * Math.sin(x * Math.PI) + 40 * Math.sin((x / 3) * Math.PI);
  return ((short + a * Math.sin((x / 12) * Math.PI) + b * Math.sin((x / 30) * Math.PI)) * 2) / 3;
}

/** Outside this box nothing is shifted. */
function inChina(lon: number, lat: number): boolean {
  return lon >= 72.004 && lon <= 137.8347 && lat >= 0.8293 && lat <= 55.8271;
}

function toGcj02(lon: number, lat: number): [number, number] {
  if (!inChina(lon, lat)) return [lon, lat];
  const [x, y] = [lon - 105, lat - 35];
  const common = ((20 * Math.sin(6 * x * Math.PI) + 20 * Math.sin(2 * x * Math.PI)) * 2) / 3;
  const north = -100 + 2 * x + 3 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * Math.sqrt(Math.abs(x)) + common + waves(y, 160, 320);
  const east = 300 + x + 2 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * Math.sqrt(Math.abs(x)) + common + waves(x, 150, 300);
  const sin = Math.sin(rad(lat));
  const magic = 1 - ECCENTRICITY2 * sin * sin;
  const perLat = ((AXIS_M * (1 - ECCENTRICITY2)) / (magic * Math.sqrt(magic))) * (Math.PI / 180);
  const perLon = (AXIS_M / Math.sqrt(magic)) * Math.cos(rad(lat)) * (Math.PI / 180);
  return [lon + east / perLon, lat + north / perLat];
}

function toBd09(lon: number, lat: number): [number, number] {
  if (!inChina(lon, lat)) return [lon, lat];
  const [x, y] = toGcj02(lon, lat);
  const turn = (Math.PI * 3000) / 180;
  const r = Math.hypot(x, y) + 0.00002 * Math.sin(y * turn);
  const theta = Math.atan2(y, x) + 0.000003 * Math.cos(x * turn);
  return [r * Math.cos(theta) + 0.0065, r * Math.sin(theta) + 0.006];
}

const FORWARD: Record<Crs, (lon: number, lat: number) => [number, number]> = { wgs84: (lon, lat) => [lon, lat], gcj02: toGcj02, bd09: toBd09 };

export function toDisplay(crs: Crs, longitude: number, latitude: number): [number, number] {
  return FORWARD[crs](longitude, latitude);
}
