// The last step of a build: what must be there is there, the first load keeps its budget, and every text file has its .gz beside it.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const DIST = new URL('../../cloud/console/dist/', import.meta.url).pathname;
/** Gzip bytes of a page and what it loads at once: the console and the wall before the map's and the chart's chunks, the crew's page on a phone's link. */
const BUDGETS = { 'index.html': 120 * 1024, 'crew.html': 60 * 1024, 'wall.html': 80 * 1024 };
const COMPRESSED = /\.(js|mjs|css|svg|txt|html|webmanifest)$/;

const files = readdirSync(DIST, { recursive: true, withFileTypes: true })
  .filter((f) => f.isFile())
  .map((f) => join(f.parentPath, f.name).slice(DIST.length));

const wanted = [
  ['index.html', /^index\.html$/],
  ['the MapLibre worker', /^assets\/maplibre-gl-worker-[\w-]+\.js$/],
  ['the licence list', /^licenses\.txt$/],
  ['the icon', /^favicon\.svg$/],
  ['crew.html', /^crew\.html$/],
  ['wall.html', /^wall\.html$/],
  ["the crew page's service worker", /^crew-worker\.js$/],
  ["the crew page's icon", /^crew-192\.png$/],
];
const missing = wanted.filter(([, pattern]) => !files.some((f) => pattern.test(f))).map(([what]) => what);
if (missing.length > 0) {
  console.error(`The console's build is not complete: ${missing.join(', ')} missing in ${DIST}`);
  process.exit(1);
}

const sizes = new Map();
for (const file of files.filter((f) => COMPRESSED.test(f))) {
  const packed = gzipSync(readFileSync(join(DIST, file)), { level: 9 });
  writeFileSync(join(DIST, `${file}.gz`), packed);
  sizes.set(file, packed.length);
}

const all = [...sizes.values()].reduce((a, b) => a + b, 0);
let over = false;
for (const [name, budget] of Object.entries(BUDGETS)) {
  const page = readFileSync(join(DIST, name), 'utf8');
  const first = [...page.matchAll(/(?:src|href)="\/(assets\/[^"]+)"/g)].map((m) => m[1]);
  const total = first.reduce((sum, file) => sum + (sizes.get(file) ?? 0), sizes.get(name) ?? 0);
  console.log(`${name}: first load ${(total / 1024).toFixed(1)} KiB gzip of ${budget / 1024} (${first.length} files), all ${(all / 1024).toFixed(0)} KiB`);
  over ||= total > budget;
}
if (over) {
  console.error('A first load is over its budget: load the newest part lazily, or leave it out');
  process.exit(1);
}
