/** The overview, as the wall reads it, and where each of its numbers is listed. */
import { ask, query, type Priority } from '../lib/api';
import type { Box } from '../lib/api_map';
import type { Text } from '../lib/words.svelte';

export type KindCount = { kind: string; total: number; online: number; states: Record<string, number> };
export type Hour = { start: string; count: number; low: number | null; high: number | null; mean: number | null; days: number };
export type Standing = { name: string; title: Text | null; cases: number; late: number; share: number; open: number; open_late: number; critical: number };
export type WallAlarm = {
  id: string; device: string; device_name: string; title: Text | null; priority: Priority; state: string; raised: string; case_id: number | null;
};
export type Stop = { name: string; title: Text; open: number; late: number; critical: number; bounds: Box };
export type Overview = {
  as_of: string; age_s: number; heard: string | null; heard_age_s: number | null; zone: string;
  devices: { total: number; online: number; states: Record<string, number>; kinds: KindCount[] };
  alarms: { open: Partial<Record<Priority, number>>; hours: Hour[] };
  energy: { devices: number; heard: number; power_kw: number | null };
  sla: { days: number; city: Standing; districts: Standing[]; departments: Standing[] };
  criticals: { total: number; items: WallAlarm[] };
  newest: WallAlarm[];
  tour: Stop[];
};

export const overview = (signal: AbortSignal) => ask<Overview>('/api/overview', { signal });

/** The window on the second screen that every number opens its list in. */
export const LISTS = 'citynerve-lists';

export const hrefs = {
  devices: (filter: { kind?: string; state?: string; district?: string }) => `/${query(filter)}`,
  alarms: (filter: { priority?: string }) => `/alarms${query(filter)}`,
  cases: (filter: { district?: string; department?: string; mark?: string }) => `/cases${query(filter)}`,
  alarm: (alarm: WallAlarm) => (alarm.case_id === null ? `/devices/${encodeURIComponent(alarm.device)}` : `/cases/${alarm.case_id}`),
};
