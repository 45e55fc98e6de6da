/** The event stream, read by fetch instead of EventSource: its keep-alive comments prove the link alive, and its back-off is ours. */
import { query } from './api';
import { clock } from './clock.svelte';

export type News = { id: string; kind: string; data: Record<string, unknown> };
export type LinkState = 'connecting' | 'live' | 'retrying';

/** Several keep-alive comments missed: the connection is dead though nobody closed it. */
const SILENCE_MS = 45_000;
/** A server that takes the connection and then says nothing. */
const ANSWER_MS = 15_000;
const FIRST_WAIT_S = 1;
const LONGEST_WAIT_S = 30;

/** Turns the lines of an event stream (HTML standard, 9.2.6) into items. */
export class EventParser {
  #rest = '';
  #kind = '';
  #data: string[] = [];

  constructor(public lastId = '') {}

  *feed(text: string): Generator<News> {
    const lines = (this.#rest + text).split(/\r\n|\n|\r/);
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line === '') yield* this.#dispatch();
      else this.#field(line);
    }
  }

  #field(line: string): void {
    const colon = line.indexOf(':');
    if (colon === 0) return;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (name === 'event') this.#kind = value;
    else if (name === 'data') this.#data.push(value);
    else if (name === 'id') this.lastId = value;
  }

  *#dispatch(): Generator<News> {
    const [kind, lines] = [this.#kind, this.#data];
    this.#kind = '';
    this.#data = [];
    if (lines.length === 0) return;
    const data: unknown = JSON.parse(lines.join('\n'));
    yield { id: this.lastId, kind: kind || 'message', data: typeof data === 'object' && data !== null ? (data as Record<string, unknown>) : {} };
  }
}

type Listener = (news: News) => void;
/** One connection: its bytes, how to end it, and what it was asked for. */
type Line = { body: ReadableStream<Uint8Array>; stop: AbortController; asked: string };

/** What every page hears. A city's readings are too many for a page: who shows a device asks for its values. */
const KINDS = ['transition', 'alarm', 'case', 'gateway', 'notification', 'command'] as const;
/** The part of the map that a page shows: degrees of the map, and the zoom of its tiles. */
export type Viewport = { box: string; zoom: number };

class Stream {
  state = $state<LinkState>('connecting');
  /** When the last byte came, in the server's milliseconds; 0 before the first. */
  heard = $state(0);
  /** When the next attempt starts, in the server's milliseconds, while retrying. */
  nextTry = $state(0);
  /** Grows by one with every connection made after none was: whoever shows data asks anew when it changes. */
  connections = $state(0);
  #listeners = new Set<Listener>();
  #lastId = '';
  #wait = FIRST_WAIT_S;
  #wanted = `/api/stream${query({ kind: KINDS })}`;
  #moved: (() => void) | null = null;

  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Also hear which tiles of this part of the map change; null for no map. The line is changed without a moment between. */
  look(viewport: Viewport | null): void {
    const more = viewport === null ? {} : { box: viewport.box, crs: 'display', zoom: viewport.zoom, everywhere: 'true' };
    const wanted = `/api/stream${query({ kind: viewport === null ? KINDS : [...KINDS, 'tiles'], ...more })}`;
    if (wanted === this.#wanted) return;
    this.#wanted = wanted;
    this.#moved?.();
  }

  /** Connect and stay connected for as long as the page lives. */
  async run(): Promise<never> {
    for (;;) {
      let line = await this.#open();
      if (line !== null) this.#connected();
      while (line !== null) line = await this.#follow(line);
      await this.#pause();
    }
  }

  async #open(): Promise<Line | null> {
    const asked = this.#wanted;
    const stop = new AbortController();
    const headers: Record<string, string> = { Accept: 'text/event-stream' };
    if (this.#lastId !== '') headers['Last-Event-ID'] = this.#lastId;
    const late = setTimeout(() => stop.abort(new Error('no answer')), ANSWER_MS);
    try {
      const response = await fetch(asked, { headers, signal: stop.signal, cache: 'no-store' });
      if (!response.ok || response.body === null) throw new Error(`status ${response.status}`);
      return { body: response.body, stop, asked };
    } catch (fault) {
      console.info('event stream:', fault);
      return null;
    } finally {
      clearTimeout(late);
    }
  }

  /** Read a line until it ends, which gives null, or until something else is wanted: the new line stands before the old one is left. */
  async #follow(line: Line): Promise<Line | null> {
    const watch = setInterval(() => {
      if (clock.exact() - this.heard > SILENCE_MS) line.stop.abort(new Error('silent for too long'));
    }, 5000);
    let left = false;
    const next = await new Promise<Line | null>((settle) => {
      this.#moved = () => {
        this.#moved = null;
        void this.#open().then((found) => (left ? found?.stop.abort() : settle(found)));
      };
      void this.#read(line).then(() => settle(null));
      if (line.asked !== this.#wanted) this.#moved();
    });
    left = true;
    this.#moved = null;
    clearInterval(watch);
    line.stop.abort();
    return next;
  }

  #connected(): void {
    this.state = 'live';
    this.heard = clock.exact();
    this.#wait = FIRST_WAIT_S;
    this.connections += 1;
    // Who never heard an item has no id to go on from: after any break, whatever is shown is asked for anew.
    if (this.connections > 1) this.#tell({ id: this.#lastId, kind: 'gap', data: {} });
  }

  async #read({ body }: Line): Promise<void> {
    const parser = new EventParser(this.#lastId);
    const reader = body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        this.heard = clock.exact();
        for (const news of parser.feed(value)) {
          this.#lastId = news.id;
          this.#tell(news);
        }
      }
    } catch (fault) {
      console.info('event stream:', fault);
    }
  }

  #tell(news: News): void {
    for (const listener of this.#listeners) listener(news);
  }

  async #pause(): Promise<void> {
    // Spread: a restarted server must not meet every desk in the same second.
    const wait = this.#wait * 1000 * (0.8 + 0.4 * Math.random());
    this.#wait = Math.min(LONGEST_WAIT_S, this.#wait * 2);
    this.state = 'retrying';
    this.nextTry = clock.exact() + wait;
    await new Promise((resolve) => setTimeout(resolve, wait));
    this.state = 'connecting';
  }
}

export const stream = new Stream();
