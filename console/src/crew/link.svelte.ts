import { clock } from '../lib/clock.svelte';

const STORED = 'citynerve.crew.heard';

/** Whether the server answers, and since when it does not. */
class Link {
  lost = $state(!navigator.onLine);
  /** When the server last answered, in its own milliseconds; 0 where it never did. */
  heardAt = $state(Number(localStorage.getItem(STORED) ?? 0));
  /** Accounts exist here and nobody is signed in. */
  login = $state(false);
  #again = new Set<() => void>();

  constructor() {
    addEventListener('offline', () => (this.lost = true));
    addEventListener('online', () => this.#tell());
  }

  /** Call `work` whenever there is hope that the server answers again. */
  whenBack(work: () => void): void {
    this.#again.add(work);
  }

  heard(): void {
    const back = this.lost;
    this.lost = false;
    this.heardAt = clock.exact();
    localStorage.setItem(STORED, String(Math.round(this.heardAt)));
    if (back) this.#tell();
  }

  missed(): void {
    this.lost = true;
  }

  #tell(): void {
    for (const work of this.#again) work();
  }
}

export const link = new Link();
