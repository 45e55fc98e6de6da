/** What the pages of a device and of the gateways ask. */
import { api, ask, at, post, query, type BucketPoint, type Case, type Alarm, type Gateway, type Page, type RawPoint } from './api';
import type { Value } from './format';
import type { Text } from './words.svelte';

export type Drawn = { time: string; value: Value };
export type Gap = { start: string; end: string };
type Told = { device: string; tier: 'raw' | '1m' | '1h'; start: string; end: string; truncated: boolean };
export type PixelHistory = Told & { method: 'pixels'; column_s: number; metrics: Record<string, Drawn[]>; gaps: Record<string, Gap[]> };
export type ValueHistory = Told & { method: 'raw'; metrics: Record<string, RawPoint[]> };
export type Past = PixelHistory | ValueHistory;
export type Extremes = Readonly<Record<string, { min: number; max: number }>>;

export type FrameField = { name: string; value: Value; unit: string; bytes: readonly number[]; note: string };
export type KeptFrame = {
  time: string; direction: 'up' | 'down'; language: string; hex: string; size: number; left_out: number; gateway: string; source: string; received: string | null;
  skew_s: number | null; alarm: string; decoded: { ok: boolean; error: string | null; at: number | null; fields: FrameField[] };
};

export type Argument = {
  name: string; type: 'float' | 'integer' | 'boolean' | 'string'; unit: string; low: number | null; high: number | null; default: Value; required: boolean;
};
export type Offer = { name: string; title: Text; dangerous: boolean; where: string; arguments: Argument[] };
export type CommandState = 'awaiting_approval' | 'queued' | 'sent' | 'acked' | 'done' | 'refused' | 'failed' | 'expired' | 'unknown';
export type Command = {
  id: string; device: string; command: string; arguments: Record<string, Value>; dangerous: boolean; actor: string; approved_by: string; note: string; state: CommandState;
  created: string; expires: string; sent: string | null; acked: string | null; finished: string | null; outcome: string; reason: string; detail: string;
};
export type Preview = { where: string; language: string; hex: string | null };
export type Ordered = { id: string | null; state: CommandState | null; dry_run: boolean; dangerous: boolean; preview: Preview };
export type OrderBody = { actor: string; note: string; command: string; arguments: Record<string, Value>; key: string; dry_run: boolean };

export type Fleet = {
  gateways: number; online: number; offline: number; silent: number; backlog: number; records: number; devices: number; heard: number;
  clocks: Record<string, number>; versions: Record<string, number>;
};
export type Beat = 'up' | 'part' | 'down' | 'silent' | 'unknown';
export type FleetGateway = Gateway & {
  standing: 'online' | 'silent' | 'offline'; beats: string; beat_s: number; expected: number | null; heard: number | null; alarm: string | null; case_id: number | null;
};
export type FleetFilter = Readonly<Record<string, string | readonly string[]>>;

const DAY_S = 86_400;

/** The least and the greatest value of each metric in the last 24 hours, from hours. */
async function extremes(id: string, metrics: readonly string[]): Promise<Extremes> {
  if (metrics.length === 0) return {};
  const asked = query({ metric: metrics, since: '24h', bucket: 3600 });
  const told = await ask<{ metrics: Record<string, BucketPoint[]> }>(`/api/devices/${at(id)}/history${asked}`);
  const found: Record<string, { min: number; max: number }> = {};
  for (const [name, buckets] of Object.entries(told.metrics)) {
    const full = buckets.filter((one) => one.min !== null && one.max !== null);
    if (full.length === 0) continue;
    found[name] = { min: Math.min(...full.map((one) => one.min ?? Infinity)), max: Math.max(...full.map((one) => one.max ?? -Infinity)) };
  }
  return found;
}

export const deviceApi = {
  extremes,
  past: (id: string, asked: { metric: readonly string[]; start: string; end: string; pixels?: number; limit?: number }) =>
    ask<Past>(`/api/devices/${at(id)}/history${query(asked)}`),
  peers: async (kind: string, q: string) => (await ask<Page<{ id: string; name: string }>>(`/api/devices${query({ kind: [kind], q, limit: 20 })}`)).items,
  frames: async (id: string, when: string) => (await ask<{ items: KeptFrame[] }>(`/api/devices/${at(id)}/frames${query({ at: when, before: 50 })}`)).items,
  offers: async (id: string) => (await ask<{ items: Offer[] }>(`/api/devices/${at(id)}/commands`)).items,
  order: (id: string, body: OrderBody) => post<Ordered>(`/api/devices/${at(id)}/commands`, body),
  approve: (id: string, body: { actor: string; note: string }) => post<Command>(`/api/commands/${at(id)}/approve`, body),
  commands: (id: string, cursor: string | null) => ask<Page<Command>>(`/api/commands${query({ device: id, limit: 50, cursor })}`),
  cases: (id: string, cursor: string | null): Promise<Page<Case>> => api.cases({ device: id, limit: 50, cursor }),
  alarms: (id: string, cursor: string | null) => ask<Page<Alarm>>(`/api/alarms${query({ state: 'all', suppression: 'all', device: id, limit: 50, cursor })}`),
  gateways: (filter: FleetFilter, limit: number, cursor: string | null) => ask<Page<FleetGateway>>(`/api/gateways${query({ ...filter, limit, cursor })}`),
  fleet: () => ask<Fleet>('/api/gateways/totals'),
};
export { DAY_S };
