/** Whatever somebody does goes in here first, and is sent from here: in order for each case and device, again and again until
 * it is answered, with the same key each time so that the cloud does it once. Survives reload and closing. */
import { clock } from '../lib/clock.svelte';
import { api, Problem, type Arming, type Detail } from './api';
import { all, get, inside, put, transact, uuid } from './db';
import { link } from './link.svelte';

export type Photo = { id: string; case: number; when: 'before' | 'after'; data: ArrayBuffer; type: string; taken: number };
export type ItemState = 'waiting' | 'sending' | 'refused' | 'conflict';
export type Item = {
  /** The order in which things were done. */
  n: number;
  /** The idempotency key. */
  key: string;
  /** What must keep its order: one case, one device. */
  lane: string;
  what: 'step' | 'disarm' | 'arm';
  subject: string;
  title: { zh: string; en: string };
  step: string;
  body: Record<string, unknown>;
  actor: string;
  role: string;
  photos: string[];
  /** Photos that the cloud has already: own id -> its id. */
  sent: Record<string, string>;
  /** The case's version that the person saw, and its latest step. */
  base: number;
  seen: number;
  /** The key of the item before it, which was not answered yet when this was done. */
  follows: string;
  /** By the phone's clock, corrected by the server's: milliseconds. */
  made: number;
  state: ItemState;
  attempts: number;
  /** An earlier attempt may have arrived: nobody answered it. */
  unsure: boolean;
  next: number;
  problem: { reason: string; detail: string; at: number } | null;
  /** The case as it was when the cloud said that somebody had been faster. */
  now: Detail | null;
};
export type Deed = Pick<Item, 'lane' | 'what' | 'subject' | 'title' | 'step' | 'body' | 'actor' | 'role' | 'photos' | 'base' | 'seen'>;

export const MOST_ITEMS = 500;
export const MOST_BYTES = 200 * 1000 * 1000;
/** How long a photo waits that goes with nothing. */
const KEPT_MS = 7 * 86_400_000;
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 60_000;

export class OutboxFull extends Error {}

/** What the browser has no room for is as full as our own limit. */
function roomless(fault: unknown): never {
  throw fault instanceof DOMException && fault.name === 'QuotaExceededError' ? new OutboxFull() : fault;
}

class Outbox {
  items = $state.raw<Item[]>([]);
  bytes = $state(0);
  /** Whether the browser promised not to clear it for room; null until it was asked. */
  safe = $state<boolean | null>(null);
  #pumping = false;
  #again = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** What a lane's last step made of its case: a deed may begin before the page shows it. */
  #reached = new Map<string, { base: number; seen: number }>();
  #others = new BroadcastChannel('citynerve.crew');
  #done: (answer: Detail | Arming) => void = () => undefined;

  async begin(done: (answer: Detail | Arming) => void): Promise<void> {
    this.#done = done;
    this.#others.onmessage = () => void this.load();
    link.whenBack(() => void this.hurry());
    await this.load();
    void this.pump();
  }

  async load(): Promise<void> {
    this.items = await all<Item>('outbox');
    this.bytes = (await all<Photo>('photos')).reduce((sum, photo) => sum + photo.data.byteLength, 0);
  }

  /** What waits for a case or device, in order. */
  of(lane: string): Item[] {
    return this.items.filter((item) => item.lane === lane);
  }

  async addPhoto(photo: Photo): Promise<void> {
    if (this.bytes + photo.data.byteLength > MOST_BYTES) throw new OutboxFull();
    await put('photos', photo).catch(roomless);
    void this.#ask();
    this.bytes += photo.data.byteLength;
  }

  async dropPhoto(id: string): Promise<void> {
    await transact(['photos'], 'readwrite', (of) => void of('photos').delete(id));
    await this.#changed();
  }

  /** Keep a deed, on disk before this returns, and send it when its turn comes. `draft` is the case whose draft it was. */
  async add(deed: Deed, draft?: number): Promise<void> {
    if (this.items.length >= MOST_ITEMS) throw new OutboxFull();
    const item: Omit<Item, 'n'> = {
      ...deed, key: uuid(), sent: {}, follows: '', made: clock.exact(), state: 'waiting', attempts: 0, unsure: false, next: 0, problem: null, now: null,
    };
    // A plain copy: what is shown may be wrapped for watching, and that cannot be stored.
    const plain = JSON.parse(JSON.stringify(item)) as typeof item;
    await transact(['outbox', 'drafts'], 'readwrite', (of) => {
      if (draft !== undefined) of('drafts').delete(draft);
      // Looked at here and not before: the item ahead may be answered at this very moment.
      inside<Item>(of('outbox'), (items) => {
        const ahead = items.filter((one) => one.lane === deed.lane).at(-1);
        const reached = this.#reached.get(deed.lane);
        const own = ahead === undefined && reached !== undefined && reached.base > deed.base ? reached : {};
        of('outbox').add({ ...plain, ...own, follows: ahead?.key ?? '' });
      });
    }).catch(roomless);
    void this.#ask();
    await this.#changed();
    void this.pump();
  }

  async drop(n: number): Promise<void> {
    const item = this.items.find((one) => one.n === n);
    if (item === undefined) return;
    await transact(['outbox', 'photos'], 'readwrite', (of) => {
      of('outbox').delete(n);
      for (const id of item.photos) of('photos').delete(id);
      // What was done on top of it stands on nothing now: its owner decides.
      inside<Item>(of('outbox'), (items) => {
        for (const one of items.filter((each) => each.follows === item.key)) of('outbox').put({ ...one, follows: '', state: item.what === 'step' ? 'conflict' : one.state, now: item.now });
      });
    });
    await this.#changed();
    void this.pump();
  }

  /** Send again what was refused or came too late, on top of the case as it was shown. */
  async again(n: number): Promise<void> {
    const item = this.items.find((one) => one.n === n);
    if (item === undefined) return;
    const shown = item.now === null ? {} : { base: item.now.version, seen: item.now.steps.at(-1)?.id ?? item.seen };
    await put('outbox', { ...item, ...shown, follows: '', state: 'waiting', next: 0, problem: null, now: null });
    await this.#changed();
    void this.pump();
  }

  /** Everything that waits, now. */
  async hurry(): Promise<void> {
    const waiting = this.items.filter((item) => item.state === 'waiting' && item.next > 0);
    if (waiting.length > 0) {
      await transact(['outbox'], 'readwrite', (of) => waiting.forEach((item) => of('outbox').put({ ...item, next: 0 })));
      await this.load();
    }
    await this.pump();
  }

  async pump(): Promise<void> {
    if (this.#pumping) {
      this.#again = true;
      return;
    }
    this.#pumping = true;
    try {
      do {
        this.#again = false;
        await this.#alone(() => this.#drain());
      } while (this.#again);
    } finally {
      this.#pumping = false;
    }
    const next = Math.min(...this.#heads().filter((item) => item.state !== 'sending').map((item) => item.next));
    clearTimeout(this.#timer);
    if (Number.isFinite(next)) this.#timer = setTimeout(() => void this.pump(), Math.max(50, next - Date.now()));
  }

  /** One tab sends at a time, where the browser can tell; where not, the keys see to it that nothing is done twice. */
  async #alone(work: () => Promise<void>): Promise<void> {
    if (!('locks' in navigator)) return work();
    await navigator.locks.request('citynerve.crew.send', async () => {
      await this.load();
      // Whoever held the lock before is gone: what it was sending may have arrived.
      const left = this.items.filter((item) => item.state === 'sending');
      for (const item of left) await put('outbox', { ...item, state: 'waiting', unsure: true });
      if (left.length > 0) await this.load();
      await work();
    });
  }

  #heads(): Item[] {
    const seen = new Set<string>();
    const first = this.items.filter((item) => !seen.has(item.lane) && seen.add(item.lane));
    return first.filter((item) => item.state === 'waiting' || item.state === 'sending');
  }

  async #drain(): Promise<void> {
    for (;;) {
      const item = this.#heads().find((one) => one.next <= Date.now());
      if (item === undefined) return;
      await this.#send(item);
      await this.#changed();
    }
  }

  async #send(item: Item): Promise<void> {
    item = await this.#save({ ...item, state: 'sending', unsure: item.unsure || item.state === 'sending' });
    await this.load();
    try {
      for (const id of item.photos) item = await this.#sendPhoto(item, id);
      await this.#finish(item, await this.#sendDeed(item));
    } catch (fault) {
      if (!(fault instanceof Problem)) throw fault;
      await this.#failed(item, fault);
    }
  }

  async #sendPhoto(item: Item, id: string): Promise<Item> {
    if (item.sent[id] !== undefined) return item;
    const photo = await get<Photo>('photos', id);
    if (photo === undefined) throw new Problem(410, 'not_found', 'a photo is no longer on this phone');
    const answer = await api.photo(new Blob([photo.data], { type: photo.type }), item.actor);
    if (answer.size !== photo.data.byteLength) throw new Problem(0, 'corrupt', `the cloud has ${answer.size} of ${photo.data.byteLength} bytes`);
    return this.#save({ ...item, sent: { ...item.sent, [id]: answer.id } });
  }

  async #sendDeed(item: Item): Promise<Detail | null> {
    const said = { ...item.body, actor: item.actor };
    if (item.what === 'step') {
      const photos = item.photos.map((id) => item.sent[id]);
      return api.step(Number(item.subject), { ...said, step: item.step, role: item.role, version: item.base, key: item.key, done: new Date(item.made).toISOString(), photos });
    }
    if (item.what === 'disarm' && Date.parse(String(item.body['until'])) <= clock.exact()) throw new Problem(422, 'expired', 'its time is over');
    try {
      this.#done(await (item.what === 'disarm' ? api.disarm(item.subject, { ...said, key: item.key }) : api.arm(item.subject, said)));
    } catch (fault) {
      // Armed already is what was wanted.
      if (!(item.what === 'arm' && fault instanceof Problem && fault.status === 409)) throw fault;
    }
    return null;
  }

  async #finish(item: Item, detail: Detail | null): Promise<void> {
    // One step makes one version. An answer to a repeated attempt may tell of what others did since, which nobody here saw.
    const base = item.unsure || detail === null ? item.base + 1 : detail.version;
    const seen = detail?.steps.at(-1)?.id ?? item.seen;
    this.#reached.set(item.lane, { base, seen });
    await transact(['outbox', 'photos'], 'readwrite', (of) => {
      of('outbox').delete(item.n);
      for (const id of item.photos) of('photos').delete(id);
      inside<Item>(of('outbox'), (items) => {
        for (const one of items.filter((each) => each.follows === item.key)) of('outbox').put({ ...one, follows: '', base, seen });
      });
    });
    if (detail !== null) this.#done(detail);
  }

  async #failed(item: Item, fault: Problem): Promise<void> {
    const problem = { reason: fault.reason, detail: fault.message, at: clock.exact() };
    if (fault.passing) {
      const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** item.attempts) * (0.8 + 0.4 * Math.random());
      await this.#save({ ...item, state: 'waiting', attempts: item.attempts + 1, unsure: item.unsure || fault.status === 0 || fault.status >= 500, next: Date.now() + wait, problem });
      return;
    }
    if (fault.status !== 409 || item.what !== 'step') {
      await this.#save({ ...item, state: 'refused', problem });
      return;
    }
    await this.#save({ ...item, state: 'conflict', problem, now: null });
    await this.look(item.n);
  }

  /** Ask how the case of a conflict stands now; nothing where there is no answer. */
  async look(n: number): Promise<void> {
    const item = await get<Item>('outbox', n);
    if (item === undefined || item.what !== 'step') return;
    const now = await api.detail(Number(item.subject)).catch(() => null);
    if (now === null) return;
    this.#done(now);
    await this.#save({ ...item, now });
    await this.#changed();
  }

  /** Forget photos that were taken long ago for a task that is no longer mine and that no item holds. */
  async tidy(mine: ReadonlySet<number>): Promise<void> {
    const old = clock.exact() - KEPT_MS;
    await transact(['outbox', 'photos'], 'readwrite', (of) => {
      inside<Item>(of('outbox'), (items) => {
        const held = new Set(items.flatMap((item) => item.photos));
        inside<Photo>(of('photos'), (photos) => {
          for (const photo of photos) if (photo.taken < old && !mine.has(photo.case) && !held.has(photo.id)) of('photos').delete(photo.id);
        });
      });
    });
    await this.load();
  }

  async #save(item: Item): Promise<Item> {
    await put('outbox', item);
    return item;
  }

  async #changed(): Promise<void> {
    await this.load();
    this.#others.postMessage('changed');
  }

  /** After the first write and never before: a browser may ask its owner, and nothing waits for that. */
  async #ask(): Promise<void> {
    this.safe ??= (await navigator.storage?.persist?.().catch(() => false)) ?? false;
  }
}

export const outbox = new Outbox();
