// The crew page's service worker: keeps the page's own files of this version, and nothing else. What the API says is kept by the
// page itself (IndexedDB), so that each value has its age; what is written goes through its outbox.
const VERSION = '__VERSION__';
const SHELL = ['__SHELL__'];
const NAME = `crew-${VERSION}`;

self.addEventListener('install', (event) => {
  const fresh = SHELL.map((path) => new Request(path, { cache: 'reload' }));
  event.waitUntil(caches.open(NAME).then((cache) => cache.addAll(fresh)).then(() => self.skipWaiting()));
});

self.addEventListener('activate', (event) => {
  event.waitUntil(
    caches.keys()
      .then((names) => Promise.all(names.filter((name) => name.startsWith('crew-') && name !== NAME).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

self.addEventListener('fetch', (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== 'GET' || url.origin !== self.location.origin) return;
  const path = event.request.mode === 'navigate' && url.pathname === '/crew' ? '/crew' : url.pathname;
  if (!SHELL.includes(path)) return;
  event.respondWith(caches.open(NAME).then((cache) => cache.match(path)).then((kept) => kept ?? fetch(event.request)));
});
