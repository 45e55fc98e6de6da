// What makes the crew's page an application of its own: its icons, and the service worker with the list of what it keeps.
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { drawIcon } from './icons.mjs';

const SOURCE = new URL('../src/crew/worker.js', import.meta.url);
/** Beside the page itself and what it loads; hashed assets change their names, these are told apart by their content. */
const BESIDE = ['favicon.svg', 'crew.webmanifest', 'crew-192.png'];

/** The assets that a built page names. */
function namedIn(html) {
  return [...html.matchAll(/(?:src|href)="\/(assets\/[^"]+)"/g)].map((m) => m[1]);
}

export function crewShell() {
  return {
    name: 'crew-shell',
    writeBundle({ dir }) {
      for (const size of [192, 512]) writeFileSync(join(dir, `crew-${size}.png`), drawIcon(size));
      const html = readFileSync(join(dir, 'crew.html'), 'utf8');
      const assets = namedIn(html);
      const version = createHash('sha256').update(html);
      for (const file of BESIDE) version.update(readFileSync(join(dir, file)));
      const shell = ['/crew', ...[...assets, ...BESIDE].map((file) => `/${file}`)];
      const worker = readFileSync(SOURCE, 'utf8')
        .replace("'__VERSION__'", JSON.stringify(version.digest('hex').slice(0, 16)))
        .replace("['__SHELL__']", JSON.stringify(shell));
      writeFileSync(join(dir, 'crew-worker.js'), worker);
    },
  };
}
