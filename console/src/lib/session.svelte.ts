/** Whether this page has to log in, who it is then, and the way in and out. The token is the cookie's; no script ever sees it. */
import { ApiError, whenUnknown } from './api';

type Info = { accounts: boolean; name: string | null; display: string; roles: { role: string }[] };
/** asking: nothing is known yet; open: the page may be used; login: somebody has to log in first. */
export type Door = 'asking' | 'open' | 'login';
export type Answer = 'in' | { reason: string; wait_s: number };

class Session {
  door = $state<Door>('asking');
  /** The account's name; empty while nobody has an account. */
  name = $state('');
  display = $state('');
  /** The roles that the account has anywhere. */
  roles = $state.raw<readonly string[]>([]);
  /** It was open, and is not any more. */
  ended = $state(false);

  constructor() {
    whenUnknown(() => this.#lost());
  }

  async learn(): Promise<void> {
    try {
      const response = await fetch('/api/session', { cache: 'no-store', headers: { Accept: 'application/json' } });
      if (response.ok) return this.#take((await response.json()) as Info);
    } catch (fault) {
      if (!(fault instanceof TypeError)) throw fault;
    }
    // Without an answer the page goes on and says itself what it misses.
    this.door = 'open';
  }

  /** Log in; the page then begins anew, at the address that it has. */
  async logIn(name: string, password: string): Promise<Answer> {
    const headers = { Accept: 'application/json', 'Content-Type': 'application/json' };
    let response: Response;
    try {
      response = await fetch('/api/session', { method: 'POST', headers, body: JSON.stringify({ name, password }) });
    } catch (fault) {
      if (!(fault instanceof TypeError)) throw fault;
      return { reason: 'network', wait_s: 0 };
    }
    if (response.ok) {
      location.reload();
      return 'in';
    }
    const json = (response.headers.get('content-type') ?? '').includes('json');
    const problem = json ? ((await response.json()) as { reason?: string }) : {};
    return { reason: problem.reason ?? 'invalid', wait_s: Number(response.headers.get('retry-after') ?? 0) };
  }

  async logOut(): Promise<void> {
    const response = await fetch('/api/session', { method: 'DELETE' }).catch(() => null);
    if (response === null || !response.ok) throw new ApiError(response?.status ?? 0, 'network', 'the session could not be ended');
    location.reload();
  }

  #take(info: Info): void {
    this.name = info.name ?? '';
    this.display = info.display;
    this.roles = [...new Set(info.roles.map((held) => held.role))];
    this.door = info.accounts && info.name === null ? 'login' : 'open';
  }

  #lost(): void {
    if (this.door !== 'open') return;
    this.ended = true;
    this.door = 'login';
  }
}

export const session = new Session();
