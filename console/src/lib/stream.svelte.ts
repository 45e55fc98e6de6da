/** The event stream, read by fetch instead of EventSource: its keep-alive comments prove the link alive, and its back-off is ours. */
import { clock } from './clock.svelte';

export type News = { id: string; kind: string; data: Record<string, unknown> };
export type LinkState = 'connecting' | 'live' | 'retrying';

/** Several keep-alive comments missed: the connection is dead though nobody closed it. */
const SILENCE_MS = 45_000;
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

class Stream {
  state = $state<LinkState>('connecting');
  /** When the last byte came, in the server's milliseconds; 0 before the first. */
  heard = $state(0);
  /** When the next attempt starts, in the server's milliseconds, while retrying. */
  nextTry = $state(0);
  /** Grows by one with every connection made: whoever shows data asks anew when it changes. */
  connections = $state(0);
  #listeners = new Set<Listener>();
  #lastId = '';
  #wait = FIRST_WAIT_S;

  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Connect and stay connected for as long as the page lives. */
  async run(): Promise<never> {
    for (;;) {
      try {
        await this.#once();
      } catch (fault) {
        console.info('event stream:', fault);
      }
      await this.#pause();
    }
  }

  async #once(): Promise<void> {
    const stop = new AbortController();
    const watch = setInterval(() => {
      if (clock.exact() - this.heard > SILENCE_MS) stop.abort(new Error('silent for too long'));
    }, 5000);
    this.heard ||= clock.exact();
    try {
      const headers: Record<string, string> = { Accept: 'text/event-stream' };
      if (this.#lastId !== '') headers['Last-Event-ID'] = this.#lastId;
      const response = await fetch('/api/stream', { headers, signal: stop.signal, cache: 'no-store' });
      if (!response.ok || response.body === null) throw new Error(`status ${response.status}`);
      this.#connected();
      await this.#read(response.body);
    } finally {
      clearInterval(watch);
      stop.abort();
    }
  }

  #connected(): void {
    this.state = 'live';
    this.heard = clock.exact();
    this.#wait = FIRST_WAIT_S;
    this.connections += 1;
    // Who never heard an item has no id to go on from: after any break, whatever is shown is asked for anew.
    if (this.connections > 1) this.#tell({ id: this.#lastId, kind: 'gap', data: {} });
  }

  async #read(body: ReadableStream<Uint8Array>): Promise<void> {
    const parser = new EventParser(this.#lastId);
    const reader = body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      this.heard = clock.exact();
      for (const news of parser.feed(value)) {
        this.#lastId = news.id;
        this.#tell(news);
      }
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
