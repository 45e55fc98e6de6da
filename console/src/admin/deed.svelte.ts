/** Something that a form sends: busy meanwhile, and what came of it. */
import { ApiError } from '../lib/api';
import { words, wordOf } from '../lib/words.svelte';

export class Deed {
  busy = $state(false);
  /** Why it was not done; empty where it was. */
  wrong = $state('');
  done = $state(false);

  /** Do it unless something is under way; true where it was done. */
  async run(work: () => Promise<unknown>): Promise<boolean> {
    if (this.busy) return false;
    this.busy = true;
    this.wrong = '';
    this.done = false;
    try {
      await work();
      this.done = true;
    } catch (fault) {
      if (!(fault instanceof ApiError)) throw fault;
      this.wrong = (words.lang === 'zh' && fault.zh) || fault.message || wordOf('reason', fault.reason);
    } finally {
      this.busy = false;
    }
    return this.done;
  }
}
