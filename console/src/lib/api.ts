/** The API's shapes, as the console reads them, and the one way to ask. */
import { clock } from './clock.svelte';
import type { Value } from './format';
import type { Text } from './words.svelte';

export type DeviceState = 'normal' | 'alarm' | 'critical' | 'offline' | 'unknown';
export const DEVICE_STATES: readonly DeviceState[] = ['critical', 'alarm', 'normal', 'offline', 'unknown'];
export type Priority = 'critical' | 'high' | 'medium' | 'low';
export type Quality = 'good' | 'uncertain' | 'bad';

export type Device = {
  id: string; name: string; kind: string; profile: string; profile_version: number; gateway: string;
  longitude: number | null; latitude: number | null; component_code: string; state: DeviceState;
  last_reading: string | null; age_s: number | null; open_alarms: number; open_cases: number;
};
export type Metric = { name: string; unit: string; type: 'float' | 'integer' | 'boolean' | 'string'; title: Text; low: number | null; high: number | null };
export type DeviceDetail = Device & { metrics: Metric[] };
export type LatestMetric = {
  metric: string; value: Value; unit: string; quality: Quality; reason: string | null; time: string; age_s: number; title: Text | null;
};
export type Latest = { device: string; metrics: LatestMetric[] };
export type RawPoint = { time: string; value: Value; quality: Quality };
export type BucketPoint = { time: string; min: number | null; max: number | null; mean: number | null; last: Value; count: number };

export type Alarm = {
  id: string; device: string; device_name: string; rule: string; title: Text | null; priority: Priority; state: string; uncertain: boolean;
  raised: string; returned: string | null; acknowledged: string | null; acknowledged_by: string; case_id: number | null;
};
export type Transition = {
  origin: string; n: number; cause: string; priority: Priority; from_state: string; to_state: string; event_time: string; actor: string; note: string;
};
export type Case = {
  id: number; device: string | null; device_name: string; matter: string; gbt_code: string; department: string; district: string; title: Text; priority: Priority;
  source: string; description: string; address: string; state: string; state_title: Text; longitude: number | null; latitude: number | null; opened: string;
  due: string | null; overdue: boolean; closed: string | null; assignee: string; hold_until: string | null; asked: 'nothing' | 'extension' | 'hold';
  returned: boolean; reworks: number; version: number;
};
export type DeviceSays = 'nothing' | 'fault' | 'clear';
export type CaseStep = {
  id: number; step: string; title: Text; from_state: string; to_state: string; actor: string; role: string; at: string; done: string | null; note: string; reason: string;
  standard: string; until: string | null; department: string; assignee: string; device_says: DeviceSays; photos: string[]; longitude: number | null; latitude: number | null;
};
export type CaseClock = {
  clock: string; title: Text; state: 'running' | 'paused' | 'stopped'; kind: string; started: string; limit_s: number; deadline: string | null; spent_s: number;
  left_s: number; late: boolean; remark: Text | null;
};
export type CaseMay = { step: string; title: Text; roles: string[]; needs: string[]; to: string };
export type Notice = {
  id: number; step: string; channel: string; target: string; state: string; attempts: number; failure: string; detail: string; created: string; sent: string | null;
  next_attempt: string | null; receipt: string; opened: string | null;
};
export type CaseDetail = Case & {
  steps: CaseStep[]; clocks: CaseClock[]; may: CaseMay[]; device_says: DeviceSays; filed_when: Text | null; closes_when: Text | null; alarms: Alarm[];
  notifications: Notice[];
};
export type LaneAccount = {
  epoch: string; lane: string; watermark: number; next_seq: number; stored: number; quarantined: number; lost: number; moved: number; missing: number;
  balanced: boolean; updated: string;
};
export type Gateway = {
  id: string; online: boolean; agent_version: string; epoch: string; last_seen: string; devices: number; lanes: LaneAccount[];
  backlog: Record<string, number>; oldest: string | null; outbox_bytes: number; outbox_max_bytes: number; declared_lost: Record<string, number>;
  clock: string | null; clock_ahead_s: number | null;
};
export type LedgerGap = {
  first: number; last: number; count: number; state: 'lost' | 'moved' | 'quarantined' | 'awaited'; reason: string | null; at: string | null;
  time_from: string | null; time_to: string | null; open_end: boolean; detail: string;
};
export type LedgerLane = LaneAccount & { gaps: LedgerGap[]; more: boolean };
export type SecurityEvent = { reason: string; count: number; last_detail: string; last: string; age_s: number };
export type GatewayLedger = { gateway: string; epoch: string; lanes: LedgerLane[]; more: boolean; security: SecurityEvent[] };
export type Page<T> = { items: T[]; next: string | null };

/** An answer that is not 2xx, or none at all. `reason` is the API's one word for it, `zh` its sentence in Chinese where it has one. */
export class ApiError extends Error {
  constructor(readonly status: number, readonly reason: string, message: string, readonly zh = '') {
    super(message);
  }
}

async function refusal(response: Response): Promise<ApiError> {
  const type = response.headers.get('content-type') ?? '';
  if (!type.includes('json')) return new ApiError(response.status, 'invalid', `${response.status} ${response.statusText}`);
  const problem = (await response.json()) as { reason?: string; title?: string; detail?: unknown; detail_zh?: unknown };
  const detail = typeof problem.detail === 'string' ? problem.detail : (problem.title ?? response.statusText);
  return new ApiError(response.status, problem.reason ?? 'invalid', detail, typeof problem.detail_zh === 'string' ? problem.detail_zh : '');
}

/** Told of every 401: the session is over, or somebody made the first account. */
let tellUnknown = (): void => {};
export function whenUnknown(tell: () => void): void {
  tellUnknown = tell;
}

/** The JSON of an answer; ApiError where there is none or it is a problem. */
export async function ask<T>(path: string, init: RequestInit = {}): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers: { Accept: 'application/json', ...init.headers } });
  } catch (fault) {
    if (init.signal?.aborted) throw fault;
    throw new ApiError(0, 'network', String(fault));
  }
  clock.learn(response.headers.get('date'));
  if (response.status === 401) tellUnknown();
  if (!response.ok) throw await refusal(response);
  return (await response.json()) as T;
}

/** `?name=value&...`; a list says its name again for each, what is empty is left out. */
export function query(values: Record<string, string | number | readonly string[] | null | undefined>): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value === null || value === undefined || value === '') continue;
    for (const one of Array.isArray(value) ? value : [value]) params.append(name, String(one));
  }
  const text = params.toString();
  return text === '' ? '' : `?${text}`;
}

export const at = encodeURIComponent;
export const hrefOfPhoto = (id: string): string => `/api/evidence/${at(id)}`;
export type NoteBody = { actor: string; note: string };
export type StepBody = {
  step: string; actor: string; role: string; version: number; key: string; done: string; note?: string; reason?: string; standard?: string; until?: string;
  department?: string; assignee?: string; photos?: string[]; position?: { longitude: number; latitude: number };
};
export type CaseFilter = { state?: string; device?: string; assignee?: string; department?: string; district?: string; limit?: number; cursor?: string | null };

export function post<T>(path: string, body: object): Promise<T> {
  return ask<T>(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
}

export const api = {
  device: (id: string) => ask<DeviceDetail>(`/api/devices/${at(id)}`),
  latest: (id: string) => ask<Latest>(`/api/devices/${at(id)}/latest`),
  latestOf: async (ids: readonly string[]) => (await ask<{ items: Latest[] }>(`/api/latest${query({ device: ids })}`)).items,
  alarms: (filter: { state?: 'open' | 'all'; device?: string; limit?: number }) => ask<Page<Alarm>>(`/api/alarms${query(filter)}`),
  acknowledgeAlarm: (id: string, body: NoteBody) => post<unknown>(`/api/alarms/${id.split('/').map(at).join('/')}/acknowledge`, body),
  cases: (filter: CaseFilter) => ask<Page<Case>>(`/api/cases${query(filter)}`),
  case: (id: string) => ask<CaseDetail>(`/api/cases/${at(id)}`),
  takeStep: (id: number, body: StepBody) => post<CaseDetail>(`/api/cases/${id}/steps`, body),
  putPhoto: (data: Blob, actor: string) =>
    ask<{ id: string; size: number }>(`/api/evidence${query({ actor })}`, { method: 'POST', headers: { 'Content-Type': data.type }, body: data }),
  gateways: () => ask<Page<Gateway>>('/api/gateways'),
  ledger: (gateway: string) => ask<GatewayLedger>(`/api/gateways/${at(gateway)}/ledger`),
};
