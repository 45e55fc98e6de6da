import { ApiError, type Page } from './api';
import { Resource } from './resource.svelte';

type Part<T> = { cursor: string | null; page: Page<T> };

/** A list that comes a page at a time, by the cursor that each page gives for the next. */
export class Pages<T> {
  /** The first page, with its error if it could not be had: the state of the whole panel. */
  readonly first: Resource<Page<T>>;
  /** Whether a page is under way. */
  busy = $state(false);
  /** Why the last page that was asked for did not come. */
  error = $state.raw<ApiError | null>(null);
  #parts = $state.raw<readonly Part<T>[]>([]);
  items = $derived<readonly T[]>(this.#parts.flatMap(({ page }) => page.items));
  /** Whether nothing comes after what is here. */
  over = $derived(this.#parts.length > 0 && this.#next === null);

  constructor(private readonly ask: (cursor: string | null) => Promise<Page<T>>) {
    this.first = new Resource(async () => {
      const page = await ask(null);
      this.#put({ cursor: null, page });
      return page;
    });
  }

  get #next(): string | null {
    return this.#parts.at(-1)?.page.next ?? null;
  }

  /** The next page; the first where there is none yet. */
  async more(): Promise<void> {
    if (this.busy || this.over) return;
    this.busy = true;
    const cursor = this.#next;
    if (cursor === null) await this.first.refresh();
    else await this.#load(cursor);
    this.busy = false;
  }

  /** Ask again for the pages that hold the items from `from` to before `to`. */
  async renew(from: number, to: number): Promise<void> {
    let begin = 0;
    const seen = this.#parts.filter(({ page }) => {
      const [first, last] = [begin, (begin += page.items.length)];
      return first < to && last > from;
    });
    for (const { cursor } of seen) await (cursor === null ? this.first.refresh() : this.#load(cursor));
  }

  async #load(cursor: string): Promise<void> {
    try {
      this.#put({ cursor, page: await this.ask(cursor) });
      this.error = null;
    } catch (fault) {
      if (!(fault instanceof ApiError)) throw fault;
      this.error = fault;
    }
  }

  /** A page that is asked for again may end elsewhere: what came after it then begins where it no longer ends, and is let go. */
  #put(part: Part<T>): void {
    const at = this.#parts.findIndex(({ cursor }) => cursor === part.cursor);
    const after = at < 0 ? [] : this.#parts.slice(at + 1);
    const fits = after[0] === undefined || after[0].cursor === part.page.next;
    this.#parts = [...(at < 0 ? this.#parts : this.#parts.slice(0, at)), part, ...(fits ? after : [])];
  }
}
