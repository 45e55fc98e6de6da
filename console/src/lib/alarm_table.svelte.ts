/** The rows of the alarm list: pages that are loaded while somebody scrolls, and news that change or head them. */
import { alarmApi, type AlarmFilter, type AlarmItem } from './api_alarms';
import { ApiError } from './api';
import { coalesce } from './resource.svelte';
import type { News } from './stream.svelte';

export type Row = { alarm: AlarmItem; child: boolean };

const PAGE = 200;
const HEAD = 100;
/** News come in bursts; with the stream's own quarter of a second a new row is seen well within one. */
const NEWS_MS = 150;

const isBefore = (a: AlarmItem, b: AlarmItem) => a.raised > b.raised || (a.raised === b.raised && a.id > b.id);

export class AlarmTable {
  items = $state.raw<readonly AlarmItem[]>([]);
  error = $state.raw<ApiError | null>(null);
  /** Nothing came yet. */
  waiting = $state(true);
  loading = $state(false);
  /** Rows that came by the stream and were not seen at the top yet. */
  fresh = $state.raw<ReadonlySet<string>>(new Set());
  unfolded = $state.raw<ReadonlyMap<string, readonly AlarmItem[]>>(new Map());
  rows = $derived<Row[]>(this.items.flatMap((alarm) => [{ alarm, child: false }, ...(this.unfolded.get(alarm.id) ?? []).map((child) => ({ alarm: child, child: true }))]));
  next = $state<string | null>(null);
  #changed = new Map<string, Partial<AlarmItem>>();
  #closed = new AbortController();
  #tell = coalesce(() => void this.#take(), NEWS_MS);

  /** `grown` hears how many rows were put above all others. */
  constructor(readonly filter: AlarmFilter, private readonly grown: (count: number, fresh: readonly AlarmItem[]) => void) {}

  close(): void {
    this.#closed.abort();
  }

  async begin(): Promise<void> {
    await this.#guarded(async () => {
      const page = await alarmApi.page(this.filter, PAGE, null, this.#closed.signal);
      [this.items, this.next, this.waiting] = [page.items, page.next, false];
    });
  }

  async more(): Promise<void> {
    if (this.loading || this.next === null) return;
    await this.#guarded(async () => {
      const page = await alarmApi.page(this.filter, PAGE, this.next, this.#closed.signal);
      const known = new Set(this.items.map((one) => one.id));
      this.items = [...this.items, ...page.items.filter((one) => !known.has(one.id))];
      this.next = page.next;
    });
  }

  hear({ kind, data }: News): void {
    if (kind === 'gap') return void this.begin();
    if (kind !== 'alarm') return;
    const id = String(data['id']);
    this.#changed.set(id, { state: String(data['state']), priority: data['priority'] as AlarmItem['priority'], case_id: data['case_id'] as number | null });
    this.#tell();
  }

  /** What it explains, as rows under it; again, and they are folded. */
  async unfold(id: string): Promise<void> {
    const unfolded = new Map(this.unfolded);
    if (!unfolded.delete(id)) {
      await this.#guarded(async () => {
        const children = await alarmApi.page({ suppression: 'all', cause: id }, 1000, null, this.#closed.signal);
        unfolded.set(id, children.items);
      });
    }
    this.unfolded = unfolded;
  }

  seen(): void {
    if (this.fresh.size > 0) this.fresh = new Set();
  }

  /** What is known of rows by somebody's own deed, before the stream says so. */
  patch(changes: ReadonlyMap<string, Partial<AlarmItem>>): void {
    this.items = this.items.map((one) => {
      const change = changes.get(one.id);
      return change === undefined ? one : { ...one, ...change, shown: one.suppression.length > 0 ? one.shown : (change.state ?? one.shown) };
    });
  }

  async #take(): Promise<void> {
    const changed = this.#changed;
    this.#changed = new Map();
    const known = new Set(this.items.map((one) => one.id));
    this.patch(changed);
    if ([...changed.keys()].every((id) => known.has(id))) return;
    await this.#guarded(async () => this.#merge((await alarmApi.page(this.filter, HEAD, null, this.#closed.signal)).items));
  }

  /** The newest rows as the cloud has them now: what is not known yet goes where its time puts it. */
  #merge(head: readonly AlarmItem[]): void {
    const now = new Map(head.map((one) => [one.id, one]));
    const items = this.items.map((one) => now.get(one.id) ?? one);
    const known = new Set(items.map((one) => one.id));
    const last = items.at(-1);
    const news = head.filter((one) => !known.has(one.id) && (last === undefined || this.next === null || isBefore(one, last)));
    if (news.length === 0) {
      this.items = items;
      return;
    }
    const first = items[0];
    const above = first === undefined ? 0 : news.filter((one) => isBefore(one, first)).length;
    this.items = [...items, ...news].sort((a, b) => (isBefore(a, b) ? -1 : 1));
    this.fresh = new Set([...this.fresh, ...news.map((one) => one.id)]);
    this.grown(above, news);
  }

  async #guarded(work: () => Promise<void>): Promise<void> {
    this.loading = true;
    try {
      await work();
      this.error = null;
    } catch (fault) {
      if (this.#closed.signal.aborted) return;
      if (!(fault instanceof ApiError)) throw fault;
      this.error = fault;
    } finally {
      this.loading = false;
    }
  }
}
