/** What the operations page knows of the city: devices, open alarms, open cases, kept fresh by the stream. */
import { api, ApiError, type Alarm, type Case, type Device, type Page } from './api';
import { MOST_MOVING, isMoving, positions, type Position } from './moving';
import { coalesce, Resource } from './resource.svelte';
import { stream, type News } from './stream.svelte';

/** News come in bursts: one question answers them all. */
const ALARMS_MS = 250;
const DEVICES_MS = 4000;
const ONE_DEVICE_MS = 500;
const MOVING_MS = 1000;
/** Whatever the stream says, everything is asked again this often: offline is a matter of time passing, not of an event. */
const EVERYTHING_MS = 30_000;
/** More devices changed at once than this: ask for all of them. */
const MANY = 12;
export const LISTED = 200;

const RANK: Record<string, number> = { critical: 0, high: 1, medium: 2, low: 3 };

const rankOf = (one: { priority: string }) => RANK[one.priority] ?? 9;

function urgentFirst<T extends { priority: string }>(time: (one: T) => string): (a: T, b: T) => number {
  return (a, b) => rankOf(a) - rankOf(b) || time(a).localeCompare(time(b));
}

class City {
  devices = new Resource<Device[]>(() => api.devices());
  alarms = new Resource<Page<Alarm>>(() => api.alarms({ state: 'open', limit: LISTED }));
  cases = new Resource<Page<Case>>(() => api.cases({ state: 'open', limit: LISTED }));
  /** Where the vehicles are, by their own last word. */
  moving = new Resource<Map<string, Position>>(() => this.#askMoving());
  all = $derived(this.#placed(this.devices.data ?? [], this.moving.data));
  byId = $derived(new Map(this.all.map((d) => [d.id, d])));
  /** Newest first: a control room reads what just happened. */
  openAlarms = $derived([...(this.alarms.data?.items ?? [])].sort((a, b) => b.raised.localeCompare(a.raised) || rankOf(a) - rankOf(b)));
  openCases = $derived([...(this.cases.data?.items ?? [])].sort(urgentFirst((c) => c.due ?? '~')));
  /** When the newest of all that is shown came. */
  asOf = $derived(Math.max(this.devices.at, this.alarms.at, this.cases.at, stream.heard));

  #changed = new Set<string>();
  #spoken = new Map<string, string>();
  #takeSpoken = coalesce(() => this.#mergeSpoken(), ONE_DEVICE_MS);
  #askAlarms = coalesce(() => void this.alarms.refresh(), ALARMS_MS);
  #askCases = coalesce(() => void this.cases.refresh(), ALARMS_MS);
  #askDevices = coalesce(() => void this.devices.refresh(), DEVICES_MS);
  #askPositions = coalesce(() => void this.moving.refresh(), MOVING_MS);
  #askChanged = coalesce(() => void this.#refreshChanged(), ONE_DEVICE_MS);

  start(): void {
    stream.listen((news) => this.hear(news));
    setInterval(() => this.refresh(), EVERYTHING_MS);
    void stream.run();
  }

  refresh(): void {
    void this.devices.refresh().then(() => this.moving.refresh());
    void this.alarms.refresh();
    void this.cases.refresh();
  }

  hear(news: News): void {
    const { kind, data } = news;
    if (kind === 'gap') this.refresh();
    if (kind === 'alarm' || kind === 'transition') this.#askAlarms();
    if (kind === 'case' || kind === 'alarm') this.#askCases();
    if (kind === 'device') this.#spoke(data['id'], data['last_reading_ns']);
    if (kind === 'alarm' || kind === 'transition' || kind === 'case') this.#change(data['device']);
  }

  nameOf(device: string): string {
    return this.byId.get(device)?.name || device;
  }

  /** A reading came: most often only its time is news. Who was silent has another state now, and who is new has no row. */
  #spoke(id: unknown, at: unknown): void {
    const known = typeof id === 'string' ? this.byId.get(id) : undefined;
    if (known === undefined) return this.#askDevices();
    if (typeof at !== 'number' || known.state === 'offline' || known.state === 'unknown') return this.#change(known.id);
    this.#spoken.set(known.id, new Date(at / 1e6).toISOString());
    this.#takeSpoken();
    if (isMoving(known)) this.#askPositions();
  }

  #mergeSpoken(): void {
    const spoken = this.#spoken;
    this.#spoken = new Map();
    this.devices.data = (this.devices.data ?? []).map((d) => {
      const at = spoken.get(d.id);
      return at === undefined || (d.last_reading !== null && at <= d.last_reading) ? d : { ...d, last_reading: at };
    });
  }

  async #askMoving(): Promise<Map<string, Position>> {
    const heard = (this.devices.data ?? []).filter((d) => isMoving(d) && d.last_reading !== null);
    const ids = heard.sort((a, b) => (b.last_reading ?? '').localeCompare(a.last_reading ?? '')).slice(0, MOST_MOVING).map((d) => d.id);
    return ids.length === 0 ? new Map() : positions(await api.latestOf(ids));
  }

  #placed(devices: Device[], moved: Map<string, Position> | null): Device[] {
    if (moved === null || moved.size === 0) return devices;
    return devices.map((d) => ({ ...d, ...moved.get(d.id) }));
  }

  #change(device: unknown): void {
    if (typeof device !== 'string') return this.#askDevices();
    this.#changed.add(device);
    this.#askChanged();
  }

  async #refreshChanged(): Promise<void> {
    const ids = [...this.#changed];
    this.#changed.clear();
    if (ids.length > MANY || this.devices.data === null) return this.#askDevices();
    try {
      const fresh = await Promise.all(ids.map((id) => api.device(id)));
      this.#merge(fresh);
    } catch (fault) {
      if (!(fault instanceof ApiError)) throw fault;
      this.#askDevices();
    }
  }

  #merge(fresh: Device[]): void {
    const byId = new Map((this.devices.data ?? []).map((d) => [d.id, d]));
    for (const device of fresh) byId.set(device.id, device);
    this.devices.data = [...byId.values()];
    this.devices.at = Math.max(this.devices.at, stream.heard);
  }
}

export const city = new City();
