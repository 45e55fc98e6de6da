/** What every page knows of the city: how many devices are in which state, open alarms, open cases, kept fresh by the stream.
 * Devices themselves are never held here: there may be a million. */
import { api, type Alarm, type Case, type Page } from './api';
import { mapApi, type MapInfo, type Outlines } from './api_map';
import { coalesce, Resource } from './resource.svelte';
import { stream, type News } from './stream.svelte';

/** News come in bursts: one question answers them all. */
const WORK_MS = 250;
const COUNTS_MS = 1000;
/** Whatever the stream says, everything is asked again this often: offline is a matter of time passing, not of an event. */
const EVERYTHING_MS = 30_000;
export const LISTED = 200;

const RANK: Record<string, number> = { critical: 0, high: 1, medium: 2, low: 3 };
const rankOf = (one: { priority: string }) => RANK[one.priority] ?? 9;

function urgentFirst<T extends { priority: string }>(time: (one: T) => string): (a: T, b: T) => number {
  return (a, b) => rankOf(a) - rankOf(b) || time(a).localeCompare(time(b));
}

class City {
  /** Counts of all devices, whatever is filtered, and what the map stands on. */
  info = new Resource<MapInfo>(() => mapApi.info());
  /** Asked by the page that shows them. */
  districts = new Resource<Outlines>(() => mapApi.districts());
  alarms = new Resource<Page<Alarm>>(() => api.alarms({ state: 'open', limit: LISTED }));
  cases = new Resource<Page<Case>>(() => api.cases({ state: 'open', limit: LISTED }));
  /** Newest first: a control room reads what just happened. */
  openAlarms = $derived([...(this.alarms.data?.items ?? [])].sort((a, b) => b.raised.localeCompare(a.raised) || rankOf(a) - rankOf(b)));
  openCases = $derived([...(this.cases.data?.items ?? [])].sort(urgentFirst((c) => c.due ?? '~')));
  /** When the newest of all that is shown came. */
  asOf = $derived(Math.max(this.info.at, this.alarms.at, this.cases.at, stream.heard));

  #askAlarms = coalesce(() => void this.alarms.refresh(), WORK_MS);
  #askCases = coalesce(() => void this.cases.refresh(), WORK_MS);
  #askInfo = coalesce(() => void this.info.refresh(), COUNTS_MS);

  start(): void {
    stream.listen((news) => this.hear(news));
    setInterval(() => this.refresh(), EVERYTHING_MS);
    void stream.run();
  }

  refresh(): void {
    void this.info.refresh();
    void this.alarms.refresh();
    void this.cases.refresh();
  }

  hear({ kind }: News): void {
    if (kind === 'gap') this.refresh();
    if (kind === 'alarm' || kind === 'transition') this.#askAlarms();
    if (kind === 'case' || kind === 'alarm') this.#askCases();
    if (kind === 'alarm' || kind === 'transition' || kind === 'case' || kind === 'tiles') this.#askInfo();
  }
}

export const city = new City();
