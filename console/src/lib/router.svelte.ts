/** The address bar and the page, held together with the History API. */
import { placeOf, type Place } from './places';

class Router {
  path = $state(location.pathname);
  #query = $state.raw(new URLSearchParams(location.search));
  place = $derived<Place>(placeOf(this.path));

  constructor() {
    addEventListener('popstate', () => this.#read());
  }

  #read(): void {
    this.path = location.pathname;
    this.#query = new URLSearchParams(location.search);
  }

  go(href: string): void {
    history.pushState(null, '', href);
    this.#read();
    scrollTo(0, 0);
  }

  get(name: string): string {
    return this.#query.get(name) ?? '';
  }

  /** Change filters in the address; empty values leave it. The page does not move and Back does not collect every letter. */
  set(values: Record<string, string>): void {
    const query = new URLSearchParams(this.#query);
    for (const [name, value] of Object.entries(values)) {
      if (value === '') query.delete(name);
      else query.set(name, value);
    }
    const text = query.toString();
    history.replaceState(null, '', location.pathname + (text === '' ? '' : `?${text}`));
    this.#query = query;
  }

  /** Follow a click on a link of our own without loading the page anew; leaves new tabs and foreign links alone. */
  follow = (event: MouseEvent): void => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (link === null || link.origin !== location.origin || link.target !== '' || link.hasAttribute('download')) return;
    if (link.pathname === location.pathname && link.hash !== '') return;
    if (placeOf(link.pathname).page === 'missing') return;
    event.preventDefault();
    this.go(link.pathname + link.search);
  };
}

export const router = new Router();
export const hrefOf = {
  device: (id: string) => `/devices/${encodeURIComponent(id)}`,
  case: (id: number) => `/cases/${id}`,
};
