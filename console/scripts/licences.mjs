// Writes licenses.txt: every package whose code reaches the browser, with the text of its licence.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const MODULES = new URL('../node_modules/', import.meta.url).pathname;

/** Packages installed for use, not for building: MapLibre's file already holds the code of its own dependencies. */
function installedForUse() {
  const lock = JSON.parse(readFileSync(new URL('../package-lock.json', import.meta.url), 'utf8'));
  return Object.entries(lock.packages)
    .filter(([path, entry]) => path.startsWith('node_modules/') && !entry.dev && !entry.optional)
    .map(([path]) => path.slice('node_modules/'.length));
}

/** The package a bundled module came from, or undefined for our own sources. */
function packageOf(id) {
  const inside = id.replaceAll('\\', '/').split('/node_modules/').at(-1);
  if (!id.includes('/node_modules/') || inside === undefined) return undefined;
  const parts = inside.split('/');
  return parts[0].startsWith('@') ? `${parts[0]}/${parts[1]}` : parts[0];
}

function entry(name) {
  const folder = join(MODULES, name);
  const about = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  if (typeof about.license !== 'string') throw new Error(`${name}: package.json names no licence; want an SPDX id`);
  const file = readdirSync(folder).find((f) => /^(licen[cs]e|copying)/i.test(f));
  const text = file === undefined ? 'The package holds no licence file; the line above is its own statement.' : readFileSync(join(folder, file), 'utf8');
  return `${name} ${about.version}\nLicence: ${about.license}\n\n${text.trim()}\n`;
}

export function licences() {
  return {
    name: 'licences',
    generateBundle(_options, bundle) {
      const names = new Set(installedForUse());
      for (const chunk of Object.values(bundle)) {
        if (chunk.type !== 'chunk') continue;
        for (const id of Object.keys(chunk.modules)) {
          const name = packageOf(id);
          if (name !== undefined && existsSync(join(MODULES, name, 'package.json'))) names.add(name);
        }
      }
      const source = [...names].sort().map(entry).join(`\n${'-'.repeat(78)}\n\n`);
      this.emitFile({ type: 'asset', fileName: 'licenses.txt', source });
    },
  };
}
