/** What the administrator's pages ask. */
import { ask, at, query, type Page, type Priority } from './api';
import type { Text } from './words.svelte';

export const ROLES = ['collector', 'operator', 'shift_lead', 'dispatcher', 'department', 'crew', 'inspector', 'supervisor', 'admin'] as const;
export type RoleWord = (typeof ROLES)[number];
export type Role = { role: RoleWord; district: string; department: string };
export type User = { name: string; display: string; roles: Role[]; disabled: boolean; created: string; changed: string; sessions: number };
export type Key = {
  name: string; begins: string; roles: Role[]; reads_only: boolean; made_by: string; created: string; used: string | null; expires: string | null;
  revoked: string | null;
};
export type Channel = {
  name: string; kind: string; lang: 'zh' | 'en'; priorities: Priority[]; people: string[]; waiting: number;
  day: { sent: number; failed: number; digest: number }; last_sent: string | null; last_failure: string;
};
export type Tried = { target: string; ok: boolean; zh: string; en: string };
export type Limit = { count: string; clock: string };
export type Matter = {
  code: string; title: Text; gbt_code: string; department: string; department_by: string; priority: Priority; limits: Record<'accept' | 'verify' | 'dispatch' | 'handle' | 'check', Limit>;
  filed_when: Text; closes_when: Text; device_word: string | null; people_only: boolean; table: string; valid_from: string; source: string;
};
export type Duty = { districts: { name: string; title: Text }[]; departments: { name: string; districts: string[]; on_duty: string[] }[] };
export type TrailRow = { id: number; at: string; actor: string; role: string; action: string; target: string; detail: unknown; address: string; outcome: string };
export type Rule = { name: string; priority: Priority; title: Text; matter: string };
export type Profile = { name: string; version: number; kind: string; title: Text; alarms: Rule[] };
export type Trial = {
  profile: string; rule: string; start: string; end: string; complete: boolean; devices: number; devices_judged: number; devices_heard: number; readings: number;
  raised: number; carried: number; today_raised: number | null; also_today: number | null; logged: number; gap_count: number; judged_pct: number | null;
  by_day: { day: string; raised: number }[]; chattering: { alarm: string; times: number }[];
  occurrences: { alarm: string; device: string; raised: string; returned: string | null; priority: Priority; uncertain: boolean; also_today: boolean | null }[];
  caveats: Text[];
};
export type Health = { status: string; relational: boolean; series: boolean; streams: number; time: string };
export type Refused = { source: string; reason: string; count: number; last_detail: string; last: string; age_s: number };

function send<T>(method: 'POST' | 'PATCH' | 'DELETE', path: string, body?: object): Promise<T> {
  return ask<T>(path, { method, headers: { 'Content-Type': 'application/json' }, body: body === undefined ? null : JSON.stringify(body) });
}

export const admin = {
  users: (cursor: string | null = null) => ask<Page<User>>(`/api/users${query({ cursor, limit: 1000 })}`),
  addUser: (body: { name: string; display: string; password: string; roles: Role[] }) => send<User>('POST', '/api/users', body),
  changeUser: (name: string, body: { display?: string; password?: string; roles?: Role[]; disabled?: boolean }) => send<User>('PATCH', `/api/users/${at(name)}`, body),
  changePassword: (old: string, fresh: string) => send<unknown>('POST', '/api/session/password', { old, new: fresh }),
  keys: () => ask<Page<Key>>(`/api/keys${query({ limit: 1000 })}`),
  addKey: (body: { name: string; roles: Role[]; reads_only: boolean; expires: string | null }) => send<Key & { token: string }>('POST', '/api/keys', body),
  revokeKey: (name: string) => send<Key>('DELETE', `/api/keys/${at(name)}`),
  channels: () => ask<{ items: Channel[] }>('/api/channels'),
  tryChannel: (name: string, person: string) => send<{ items: Tried[] }>('POST', `/api/channels/${at(name)}/test`, { person: person || null }),
  matters: () => ask<{ items: Matter[] }>('/api/matters'),
  duty: () => ask<Duty>('/api/duty'),
  profiles: () => ask<{ items: Profile[] }>('/api/profiles'),
  tryRule: (body: { profile: string; rule?: string; yaml?: string; days: number }) => send<Trial>('POST', '/api/alarms/try', body),
  trail: (filter: { actor: string; target: string; start: string; end: string; cursor: string | null }) => ask<Page<TrailRow>>(`/api/audit${query({ ...filter, limit: 100 })}`),
  health: () => ask<Health>('/api/health'),
  refusals: () => ask<Page<Refused>>(`/api/refusals${query({ limit: 200 })}`),
};
