/** News of one device's readings: a line of its own beside the page's, for a city's readings are too many for every page. */
import { query } from '../lib/api';
import { EventParser } from '../lib/stream.svelte';

const WAIT_MS = 2000;

/** Calls `hear` on every news of the device, and whenever the line stands anew; gives what ends it. */
export function listenTo(device: string, hear: () => void): () => void {
  const stop = new AbortController();
  const path = `/api/stream${query({ kind: ['device'], device: [device] })}`;
  void (async () => {
    while (!stop.signal.aborted) {
      try {
        await follow(path, stop.signal, hear);
      } catch (fault) {
        if (stop.signal.aborted) return;
        console.info('line of the device:', fault);
      }
      await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
    }
  })();
  return () => stop.abort();
}

async function follow(path: string, signal: AbortSignal, hear: () => void): Promise<void> {
  const response = await fetch(path, { headers: { Accept: 'text/event-stream' }, signal, cache: 'no-store' });
  if (!response.ok || response.body === null) throw new Error(`status ${response.status}`);
  hear();
  const parser = new EventParser();
  const reader = response.body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    if ([...parser.feed(value)].length > 0) hear();
  }
}
