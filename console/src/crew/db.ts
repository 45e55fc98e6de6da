/** The page's own store on the phone: what waits to be sent, photos, drafts, and what the API said last. */

const NAME = 'citynerve.crew';
const STORES = { outbox: { keyPath: 'n', autoIncrement: true }, photos: { keyPath: 'id' }, drafts: { keyPath: 'case' }, kept: { keyPath: 'name' } } as const;
export type StoreName = keyof typeof STORES;

let opened: Promise<IDBDatabase> | null = null;

function open(): Promise<IDBDatabase> {
  opened ??= new Promise((resolve, reject) => {
    const asked = indexedDB.open(NAME, 1);
    asked.onupgradeneeded = () => {
      for (const [name, options] of Object.entries(STORES)) asked.result.createObjectStore(name, options);
    };
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error ?? new Error('the store on this phone cannot be opened'));
  });
  return opened;
}

/** One transaction: committed when the promise is kept. `work` may return a request, whose result is the promise's. */
export async function transact<T>(stores: StoreName[], mode: IDBTransactionMode, work: (store: (name: StoreName) => IDBObjectStore) => IDBRequest<T> | void): Promise<T> {
  const db = await open();
  return new Promise((resolve, reject) => {
    const tx = db.transaction(stores, mode, { durability: mode === 'readwrite' ? 'strict' : 'default' });
    let asked: IDBRequest<T> | void = undefined;
    tx.oncomplete = () => resolve(asked?.result as T);
    tx.onabort = () => reject(tx.error ?? new Error('the store on this phone refused'));
    asked = work((name) => tx.objectStore(name));
  });
}

/** Everything in a store, within a transaction that goes on. */
export function inside<T>(store: IDBObjectStore, work: (rows: T[]) => void): void {
  const asked: IDBRequest<T[]> = store.getAll();
  asked.onsuccess = () => work(asked.result);
}

export const all = <T>(store: StoreName): Promise<T[]> => transact<T[]>([store], 'readonly', (of) => of(store).getAll());
export const get = <T>(store: StoreName, key: IDBValidKey): Promise<T | undefined> => transact<T | undefined>([store], 'readonly', (of) => of(store).get(key));
export const put = (store: StoreName, value: unknown): Promise<unknown> => transact([store], 'readwrite', (of) => of(store).put(value));

/** The last answer under a name, with when it came in the server's milliseconds. */
export type Kept<T> = { name: string; at: number; value: T };
export const keep = (name: string, at: number, value: unknown): Promise<unknown> => put('kept', { name, at, value });
export const kept = <T>(name: string): Promise<Kept<T> | undefined> => get<Kept<T>>('kept', name);

/** RFC 9562, version 4; `crypto.randomUUID` is not there where the page came without TLS. */
export function uuid(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
