/** A tone for each severity, made by the browser itself: no file is loaded. Silent until somebody turns it on. */
import { clock } from './clock.svelte';
import type { Priority } from './api';

const STORED = 'citynerve.tones';
export const MUTE_MS = 600_000;
/** Hertz of each of the short tones, by severity; the lower it is, the less it interrupts. */
const TUNES: Readonly<Record<Priority, readonly number[]>> = { critical: [988, 784, 988], high: [784, 784], medium: [587], low: [440] };
const RANK: readonly Priority[] = ['critical', 'high', 'medium', 'low'];
const TONE_S = 0.16;
const GAP_S = 0.08;
/** Two rows that come together sound once. */
const REST_MS = 1500;

class Tones {
  on = $state(localStorage.getItem(STORED) === 'on');
  mutedUntil = $state(0);
  /** The browser lets nothing sound before somebody pressed something. */
  blocked = $state(false);
  state = $derived<'off' | 'muted' | 'blocked' | 'on'>(!this.on ? 'off' : clock.now < this.mutedUntil ? 'muted' : this.blocked ? 'blocked' : 'on');
  #context: AudioContext | null = null;
  #last = 0;

  turn(on: boolean): void {
    this.on = on;
    this.mutedUntil = 0;
    localStorage.setItem(STORED, on ? 'on' : 'off');
    if (on) void this.#wake().then(() => this.#sound('low'));
  }

  mute(): void {
    this.mutedUntil = clock.exact() + MUTE_MS;
  }

  unmute(): void {
    this.mutedUntil = 0;
    void this.#wake();
  }

  /** Sound the most urgent of these. */
  say(priorities: readonly Priority[]): void {
    const worst = RANK.find((one) => priorities.includes(one));
    if (worst === undefined || !this.on || clock.exact() < this.mutedUntil || performance.now() - this.#last < REST_MS) return;
    this.#last = performance.now();
    void this.#wake().then(() => this.#sound(worst));
  }

  async #wake(): Promise<void> {
    this.#context ??= new AudioContext();
    // Without a gesture the promise never settles: what counts is the state a moment later.
    await Promise.race([this.#context.resume(), new Promise((resolve) => setTimeout(resolve, 200))]);
    this.blocked = this.#context.state !== 'running';
  }

  #sound(priority: Priority): void {
    const context = this.#context;
    if (context === null || context.state !== 'running') return;
    TUNES[priority].forEach((hertz, index) => {
      const [tone, volume, from] = [context.createOscillator(), context.createGain(), context.currentTime + index * (TONE_S + GAP_S)];
      tone.frequency.value = hertz;
      // A tone that begins and ends at once would crack.
      volume.gain.setValueAtTime(0, from);
      volume.gain.linearRampToValueAtTime(0.2, from + 0.02);
      volume.gain.linearRampToValueAtTime(0, from + TONE_S);
      tone.connect(volume).connect(context.destination);
      tone.start(from);
      tone.stop(from + TONE_S);
    });
  }
}

export const tones = new Tones();
