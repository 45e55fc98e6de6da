class Clock {
  /** The server's time as this page knows it, in milliseconds; moves once a second. */
  now = $state(Date.now());
  #offset = 0;

  constructor() {
    setInterval(() => (this.now = this.exact()), 1000);
  }

  exact(): number {
    return Date.now() + this.#offset;
  }

  /** Learn the server's time from an answer's Date header; a desk clock that is minutes off must not bend every age. */
  learn(header: string | null): void {
    const server = header === null ? Number.NaN : Date.parse(header);
    if (Number.isNaN(server)) return;
    const offset = server - Date.now();
    // The header counts whole seconds: below two it says nothing.
    this.#offset = Math.abs(offset) > 2000 ? offset : 0;
  }
}

export const clock = new Clock();
