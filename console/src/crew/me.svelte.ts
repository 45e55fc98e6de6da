import { api, Problem } from './api';
import { link } from './link.svelte';

const NAME = 'citynerve.actor';
const ROLE = 'citynerve.crew.role';
export const ROLES = ['crew', 'collector', 'department'] as const;
export type Role = (typeof ROLES)[number];

/** Who holds the phone: whoever is signed in, and where there are no accounts the name that was typed. */
class Me {
  actor = $state(localStorage.getItem(NAME) ?? '');
  role = $state<Role>(ROLES.find((role) => role === localStorage.getItem(ROLE)) ?? 'crew');
  /** The cloud has accounts: name and role are those of the session. */
  accounts = $state(false);

  /** Ask the cloud; whoever it was last stays while there is no answer. */
  async learn(): Promise<void> {
    try {
      this.#read(await api.session());
    } catch (fault) {
      if (!(fault instanceof Problem)) throw fault;
      if (fault.status === 404) this.accounts = false;
    }
  }

  /** Problem where name and password are not taken. */
  async logIn(name: string, password: string): Promise<void> {
    this.#read(await api.logIn(name, password));
  }

  is(actor: string, role: Role): void {
    this.actor = actor;
    this.role = role;
    localStorage.setItem(NAME, actor);
    localStorage.setItem(ROLE, role);
  }

  #read(session: Session): void {
    this.accounts = session.accounts;
    link.login = session.accounts && session.name === null;
    if (session.name === null) return;
    const held = session.roles.map((one) => one.role);
    this.is(session.name, ROLES.find((role) => held.includes(role)) ?? 'crew');
  }
}

export type Session = { accounts: boolean; name: string | null; roles: { role: string }[] };
export const me = new Me();
