/** What the map and its list ask: the city in one answer, devices by box and filter, places by name. */
import type { FeatureCollection, MultiPolygon } from 'geojson';
import { ask, query, type Device, type DeviceState, type Page } from './api';

export type Crs = 'wgs84' | 'gcj02' | 'bd09';
/** West, south, east, north. */
export type Box = [number, number, number, number];
export type Basemap = { kind: 'none' | 'xyz' | 'pmtiles'; url: string; attribution: string; approval: string };
export type MapInfo = {
  crs: Crs; basemap: Basemap; bounds: Box | null; version: number; devices: number; states: Partial<Record<DeviceState, number>>;
  kinds: Record<string, number>; as_of: string; ingest_lag_s: number;
};
export type Found = { kind: 'device' | 'case' | 'address'; id: string; name: string; detail: string; longitude: number | null; latitude: number | null };
/** In the map's own system, drawn where the map has nothing else to stand on. */
export type Outlines = FeatureCollection<MultiPolygon, { name: string; zh: string; en: string }>;
/** What is shown of all devices; empty means all. */
export type Wanted = { kind: readonly string[]; district: string; state: readonly string[] };
export type DeviceFilter = Partial<Wanted> & { q?: string; box?: string; crs?: 'display'; limit?: number; cursor?: string | null };

export const mapApi = {
  info: (wanted: Partial<Wanted> = {}) => ask<MapInfo>(`/api/map${query(wanted)}`),
  districts: () => ask<Outlines>('/api/map/districts'),
  devices: (filter: DeviceFilter, signal?: AbortSignal) => ask<Page<Device>>(`/api/devices${query(filter)}`, { signal: signal ?? null }),
  search: async (q: string, signal: AbortSignal) => (await ask<{ items: Found[] }>(`/api/devices/search${query({ q, limit: 20 })}`, { signal })).items,
};

/** The tiles' address with the filters in it; MapLibre puts the numbers in. */
export function tilesOf(wanted: Wanted): string {
  return `${location.origin}/api/tiles/{z}/{x}/{y}.mvt${query(wanted)}`;
}
