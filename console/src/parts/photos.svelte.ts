/** Photos on their way to the cloud: each is sent as soon as it is chosen, and can be sent again. */
import { redraw } from '../crew/photo';
import { api, ApiError } from '../lib/api';
import { refusalOf } from '../lib/refusals';
import { t } from '../lib/words.svelte';

export class Photo {
  state = $state<'sending' | 'kept' | 'failed'>('sending');
  id = $state('');
  why = $state('');
  readonly url: string;

  constructor(readonly file: File, private readonly actor: () => string) {
    this.url = URL.createObjectURL(file);
  }

  async send(): Promise<void> {
    this.state = 'sending';
    this.why = '';
    try {
      this.id = (await api.putPhoto(await redraw(this.file), this.actor())).id;
      this.state = 'kept';
    } catch (fault) {
      this.why = fault instanceof ApiError ? refusalOf(fault) : t('photo.unreadable');
      this.state = 'failed';
    }
  }

  forget(): void {
    URL.revokeObjectURL(this.url);
  }
}
