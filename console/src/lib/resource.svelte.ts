import { ApiError } from './api';
import { clock } from './clock.svelte';

/** Something fetched, kept while a newer one is under way, with what went wrong last. */
export class Resource<T> {
  data = $state.raw<T | null>(null);
  error = $state.raw<ApiError | null>(null);
  loading = $state(true);
  /** When `data` came, in the server's milliseconds; 0 before the first. */
  at = $state(0);
  #running = false;
  #again = false;
  #closed = false;

  constructor(private readonly fetcher: () => Promise<T>) {}

  /** Fetch now; a call while one is under way fetches once more after it, however many calls there were. */
  async refresh(): Promise<void> {
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#running = true;
    try {
      do {
        this.#again = false;
        await this.#once();
      } while (this.#again && !this.#closed);
    } finally {
      this.#running = false;
    }
  }

  async #once(): Promise<void> {
    try {
      const data = await this.fetcher();
      if (this.#closed) return;
      this.data = data;
      this.error = null;
      this.at = clock.exact();
    } catch (fault) {
      if (!(fault instanceof ApiError)) throw fault;
      this.error = fault;
    } finally {
      this.loading = false;
    }
  }

  close(): void {
    this.#closed = true;
  }
}

/** Calls `work` at most once in `ms`, the first time `ms` after the first call of a burst. */
export function coalesce(work: () => void, ms: number): () => void {
  let timer: ReturnType<typeof setTimeout> | null = null;
  return () => {
    timer ??= setTimeout(() => {
      timer = null;
      work();
    }, ms);
  };
}
