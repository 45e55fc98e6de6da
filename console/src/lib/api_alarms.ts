/** What the list of alarms and the evidence of a case are made of. */
import { ask, at, post, query, type Alarm, type NoteBody, type Page, type Quality } from './api';
import type { KeptFrame } from './api_device';
import type { Value } from './format';
import type { Text } from './words.svelte';

export type AlarmItem = Alarm & {
  shown: string; suppression: string[]; shelved_until: string | null; raises: number; gateway: string; kind: string; district: string;
  caused_by: string | null; case: { id: number; state: string; assignee: string } | null; explains: number;
};
export type AlarmWhole = AlarmItem & { cause: Text | null; consequence: Text | null; response: Text | null };
export type AlarmFilter = Readonly<Record<string, string | readonly string[]>>;
export type Seen = { done: string[]; refused: { id: string; reason: string; detail: string }[] };
export type Target = { good: number; limit: number | null; at_least: boolean; words: string };
export type Figure = { name: string; title: Text; unit: string; value: number | null; target: Target | null; verdict: string | null };
export type Health = {
  observed_days: number; figures: Figure[]; top: { alarm: string; times: number; share_pct: number }[]; stale_now: number | null;
};
export type Limit = { metric: string; value: number; unit: string; direction: 'above' | 'below'; statistic: string; in_force: boolean };
export type EvidencePoint = { time: string; value: Value; quality: Quality };
export type EvidenceMetric = { name: string; unit: string; type: string; title: Text | null; points: EvidencePoint[]; truncated: boolean };
export type Evidence = {
  alarm: string | null; device: string | null; rule: string; title: Text | null; profile: string; profile_version: number | null; known_version: number | null;
  rule_text: string | null; evidence: Record<string, Value>; triggered: string | null; window: { start: string; end: string } | null; threshold: Limit[];
  metrics: EvidenceMetric[]; neighbours: { device: string; name: string; distance_m: number; metric: string; value: Value; time: string | null }[];
};

/** As many as one call takes. */
export const MOST_AT_ONCE = 500;
/** An alarm's id keeps its slashes. */
const path = (id: string) => id.split('/').map(at).join('/');

export const alarmApi = {
  page: (filter: AlarmFilter, limit: number, cursor: string | null, signal: AbortSignal | null = null) =>
    ask<Page<AlarmItem>>(`/api/alarms${query({ ...filter, limit, cursor })}`, { signal }),
  one: (id: string) => ask<AlarmWhole>(`/api/alarms/${path(id)}`),
  acknowledge: (alarms: readonly string[], body: NoteBody) => post<Seen>('/api/alarms/acknowledge', { ...body, alarms }),
  shelve: (id: string, body: NoteBody & { until: string }) => post<unknown>(`/api/alarms/${path(id)}/shelve`, body),
  unshelve: (id: string, body: NoteBody) => post<unknown>(`/api/alarms/${path(id)}/unshelve`, body),
  health: (days: number) => ask<Health>(`/api/alarms/health${query({ days })}`),
  evidence: (id: number, alarm: string, minutes: number) => ask<Evidence>(`/api/cases/${id}/evidence${query({ alarm, minutes })}`),
  frames: async (device: string, when: string) => (await ask<{ items: KeptFrame[] }>(`/api/devices/${at(device)}/frames${query({ at: when, before: 1, after: 0 })}`)).items,
};
