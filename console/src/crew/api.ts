/** The API as the crew's page reads it. */
import { clock } from '../lib/clock.svelte';
import type { Value } from './format';
import { link } from './link.svelte';
import type { Session } from './me.svelte';
import type { Text } from './words.svelte';

export type Priority = 'critical' | 'high' | 'medium' | 'low';

export type Task = {
  id: number; device: string | null; device_name: string; matter: string; title: Text; priority: Priority; description: string; address: string;
  state: string; state_title?: Text; longitude: number | null; latitude: number | null; opened: string; due: string | null; overdue: boolean; closed: string | null;
  assignee: string; department: string; version: number;
};
export type Step = {
  id: number; step: string; title?: Text; from_state: string; to_state: string; actor: string; role: string; at: string; done: string | null; note: string; reason: string;
  photos: string[];
};
export type May = { step: string; title: Text; roles: string[]; needs: string[]; to: string };
export type Detail = Task & { steps: Step[]; may: May[]; device_says: 'nothing' | 'fault' | 'clear'; closes_when: Text | null };
export type Device = { id: string; name: string; kind: string; component_code: string; longitude: number | null; latitude: number | null };
export type Said = { metric: string; value: Value; unit: string; quality: 'good' | 'uncertain' | 'bad'; time: string; title: Text | null };
export type Arming = { device: string; armed: boolean; until: string | null; by: string; reason: string; ends_when_closed: boolean };
export type Page<T> = { items: T[]; next: string | null };

const ANSWER_MS = 20_000;
const UPLOAD_MS = 180_000;

/** An answer that is not 2xx, or none at all (status 0). `reason` is the API's one word for it. */
export class Problem extends Error {
  constructor(readonly status: number, readonly reason: string, detail: string) {
    super(detail);
  }

  /** Whether the same request may succeed later, as it is. */
  get passing(): boolean {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status === 401 || this.status >= 500;
  }
}

async function problemOf(response: Response): Promise<Problem> {
  const said = (response.headers.get('content-type') ?? '').includes('json') ? ((await response.json()) as { reason?: string; detail?: unknown }) : {};
  const detail = typeof said.detail === 'string' ? said.detail : `${response.status} ${response.statusText}`;
  return new Problem(response.status, said.reason ?? 'invalid', detail);
}

export async function ask<T>(path: string, init: RequestInit = {}, within = ANSWER_MS): Promise<T> {
  try {
    const response = await fetch(path, { ...init, headers: { Accept: 'application/json', ...init.headers }, signal: AbortSignal.timeout(within) });
    clock.learn(response.headers.get('date'));
    link.heard();
    link.login = response.status === 401;
    if (!response.ok) throw await problemOf(response);
    return (await response.json()) as T;
  } catch (fault) {
    if (fault instanceof Problem) throw fault;
    link.missed();
    throw new Problem(0, 'network', String(fault));
  }
}

export function post<T>(path: string, body: unknown): Promise<T> {
  return ask<T>(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
}

const at = encodeURIComponent;
const MOST_PAGES = 5;

async function tasksOf(who: string): Promise<Task[]> {
  const tasks: Task[] = [];
  let cursor: string | null = '';
  for (let pages = 0; cursor !== null && pages < MOST_PAGES; pages++) {
    const page: Page<Task> = await ask<Page<Task>>(`/api/cases?assignee=${at(who)}&state=open&limit=200${cursor === '' ? '' : `&cursor=${at(cursor)}`}`);
    tasks.push(...page.items);
    cursor = page.next;
  }
  return tasks;
}

export const api = {
  session: () => ask<Session>('/api/session'),
  logIn: (name: string, password: string) => post<Session>('/api/session', { name, password }),
  tasks: tasksOf,
  detail: (id: number) => ask<Detail>(`/api/cases/${id}`),
  device: (id: string) => ask<Device>(`/api/devices/${at(id)}`),
  latest: async (id: string) => (await ask<{ metrics: Said[] }>(`/api/devices/${at(id)}/latest`)).metrics,
  arming: (id: string) => ask<Arming>(`/api/devices/${at(id)}/arming`),
  step: (id: number, body: unknown) => post<Detail>(`/api/cases/${id}/steps`, body),
  disarm: (id: string, body: unknown) => post<Arming>(`/api/devices/${at(id)}/disarm`, body),
  arm: (id: string, body: unknown) => post<Arming>(`/api/devices/${at(id)}/arm`, body),
  photo: (data: Blob, actor: string) =>
    ask<{ id: string; size: number }>(`/api/evidence?actor=${at(actor)}`, { method: 'POST', headers: { 'Content-Type': data.type }, body: data }, UPLOAD_MS),
};
