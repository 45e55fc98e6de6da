/** What the wall shows, asked every five seconds for as long as it hangs, and how old it is. */
import { ApiError } from '../lib/api';
import { overview, type Overview } from './api';

const EVERY_MS = 5000;
const PATIENCE_MS = 10_000;
/** An older picture is grey: nobody may take it for the present. */
const STALE_S = 30;
/** Gateways speak of themselves every minute, whatever their devices do; after one and a half, none is there. */
const SILENT_S = 90;
/** Lists go on by one page so often. */
const TURN_S = 6;

class Wall {
  data = $state.raw<Overview | null>(null);
  error = $state.raw<ApiError | null>(null);
  paused = $state(false);
  /** Seconds since the answer, by a clock that nobody can set. */
  #since = $state(0);
  /** Grows by one with every turn of the lists. */
  turn = $state(0);
  #received = performance.now();
  #busy = false;

  /** How old the picture is, in seconds. */
  age = $derived(this.data === null ? this.#since : this.data.age_s + this.#since);
  /** How long ago any gateway was heard. */
  silence = $derived(this.data?.heard_age_s == null ? null : this.data.heard_age_s + this.age);
  stale = $derived(this.age > STALE_S);
  silent = $derived(this.silence !== null && this.silence > SILENT_S);
  /** The server's time, in milliseconds. */
  now = $derived(this.data === null ? Date.now() : Date.parse(this.data.as_of) + this.age * 1000);

  run(): () => void {
    void this.ask();
    const asking = setInterval(() => void this.ask(), EVERY_MS);
    const ticking = setInterval(() => this.#tick(), 1000);
    return () => {
      clearInterval(asking);
      clearInterval(ticking);
    };
  }

  async ask(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    try {
      this.data = await overview(AbortSignal.timeout(PATIENCE_MS));
      this.error = null;
      this.#received = performance.now();
      this.#since = 0;
    } catch (fault) {
      this.error = fault instanceof ApiError ? fault : new ApiError(0, 'network', String(fault));
    } finally {
      this.#busy = false;
    }
  }

  #ticks = 0;
  #tick(): void {
    this.#since = (performance.now() - this.#received) / 1000;
    this.#ticks += 1;
    if (!this.paused && this.#ticks % TURN_S === 0) this.turn += 1;
  }
}

export const wall = new Wall();

/** The page of `size` items that is due; all where they fit. */
export function pageOf<T>(items: readonly T[], size: number, turn: number): readonly T[] {
  const pages = Math.max(1, Math.ceil(items.length / size));
  const start = (turn % pages) * size;
  return items.slice(start, start + size);
}
