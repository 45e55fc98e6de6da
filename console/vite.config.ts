import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';
import { crewShell } from './scripts/crew_shell.mjs';
import { licences } from './scripts/licences.mjs';

export default defineConfig({
  plugins: [svelte(), licences(), crewShell()],
  build: {
    outDir: '../cloud/console/dist',
    emptyOutDir: true,
    target: 'es2022',
    // Nothing becomes a data: URI: the page's content policy names only its own origin.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: { input: { index: 'index.html', crew: 'crew.html', wall: 'wall.html' } },
    // The map library is one chunk of about 300 KB gzip, loaded after the page itself.
    chunkSizeWarningLimit: 1300,
  },
  worker: { format: 'es' },
  server: { proxy: { '/api': 'http://127.0.0.1:8000' } },
});
