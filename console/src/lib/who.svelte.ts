/** Who acts at this desk: the session's account, or, while nobody has an account, the name and office that were given last. */
import { api, ApiError, type Session } from './api';

const NAME = 'citynerve.actor';
const OFFICE = 'citynerve.office';

class Who {
  session = $state.raw<Session | null>(null);
  #name = $state(localStorage.getItem(NAME) ?? '');
  #office = $state(localStorage.getItem(OFFICE) ?? '');
  /** The account's name where there is one; it is not for changing then. */
  account = $derived(this.session?.name ?? null);
  name = $derived(this.account ?? this.#name);
  /** The offices of the account; null while everybody may say who they are. */
  offices = $derived(this.session === null || this.session.name === null ? null : [...new Set(this.session.roles.map((held) => held.role))]);

  async learn(): Promise<void> {
    try {
      this.session = await api.session();
    } catch (fault) {
      // A page without an answer goes on with what it knows; a step says what is wrong.
      if (!(fault instanceof ApiError)) throw fault;
    }
  }

  /** Those of `offices` in which this person may act. */
  mine(offices: readonly string[]): readonly string[] {
    const own = this.offices;
    return own === null ? offices : offices.filter((office) => own.includes(office));
  }

  /** The office to begin with: the only one, or the one that was chosen last, or none. */
  usual(offices: readonly string[]): string {
    return offices.length === 1 ? (offices[0] ?? '') : offices.includes(this.#office) ? this.#office : '';
  }

  remember(name: string, office: string): void {
    this.#name = name;
    localStorage.setItem(NAME, name);
    if (office === '') return;
    this.#office = office;
    localStorage.setItem(OFFICE, office);
  }
}

export const who = new Who();
