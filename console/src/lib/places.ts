/** Every page of the console by its address, a line each. `cloud/console/serve.py` knows the same addresses, `pages.ts` the chunks. */

export type Line = {
  page: string;
  /** `:id` stands for one part of the address. */
  path: string;
  /** The place in the header that is lit on this page. */
  under: string;
  /** The key of the link's words in the header; without it there is no link. */
  nav?: 'nav.operations' | 'nav.alarms' | 'nav.cases' | 'nav.gateways' | 'nav.admin';
};

export const PLACES = [
  { page: 'operations', path: '/', under: 'operations', nav: 'nav.operations' },
  { page: 'device', path: '/devices/:id', under: 'operations' },
  { page: 'alarms', path: '/alarms', under: 'alarms', nav: 'nav.alarms' },
  { page: 'cases', path: '/cases', under: 'cases', nav: 'nav.cases' },
  { page: 'case', path: '/cases/:id', under: 'cases' },
  { page: 'gateways', path: '/gateways', under: 'gateways', nav: 'nav.gateways' },
  { page: 'admin', path: '/admin', under: 'admin', nav: 'nav.admin' },
  { page: 'section', path: '/admin/:id', under: 'admin' },
] as const satisfies readonly Line[];

export type PageName = (typeof PLACES)[number]['page'];
export type Place = { page: PageName; under: string; id: string } | { page: 'missing'; under: ''; id: '' };

/** Which page an address is; `id` is empty where the page has none. */
export function placeOf(path: string): Place {
  const parts = path.split('/').filter((p) => p !== '').map(decodeURIComponent);
  for (const { page, path: pattern, under } of PLACES) {
    const wanted = pattern.split('/').filter((p) => p !== '');
    if (wanted.length !== parts.length || !wanted.every((want, at) => want === ':id' || want === parts[at])) continue;
    return { page, under, id: parts[wanted.indexOf(':id')] ?? '' };
  }
  return { page: 'missing', under: '', id: '' };
}
