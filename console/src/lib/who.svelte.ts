/** Who acts at this desk: the session's account, or, while nobody has an account, the name and office that were given last. */
import { session } from './session.svelte';
import type { Me } from './steps';

const NAME = 'citynerve.actor';
const OFFICE = 'citynerve.office';

class Who {
  #name = $state(localStorage.getItem(NAME) ?? '');
  #office = $state(localStorage.getItem(OFFICE) ?? '');
  /** The account; null while everybody may say who they are. */
  me = $derived<Me | null>(session.name === '' ? null : { name: session.name, offices: session.roles });
  name = $derived(this.me?.name ?? this.#name);

  /** Those of `offices` in which this person may act. */
  mine(offices: readonly string[]): readonly string[] {
    const me = this.me;
    return me === null ? offices : offices.filter((office) => me.offices.includes(office));
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
