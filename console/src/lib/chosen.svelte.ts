/** The one device that the map's card is about, kept fresh while it is chosen. */
import { api, type DeviceDetail, type Latest } from './api';
import { placeOf } from './place';
import { Resource } from './resource.svelte';
import { stream } from './stream.svelte';

const EVERY_MS = 5000;

export class Chosen {
  readonly device: Resource<DeviceDetail>;
  readonly latest: Resource<Latest>;
  place = $derived.by(() => placeOf(this.device.data, this.latest.data));

  constructor(readonly id: string) {
    this.device = new Resource(() => api.device(id));
    this.latest = new Resource(() => api.latest(id));
  }

  /** Ask now, every five seconds, and whenever there is news of this device, until the answer is called. */
  follow(): () => void {
    const ask = () => {
      void this.device.refresh();
      void this.latest.refresh();
    };
    ask();
    const timer = setInterval(ask, EVERY_MS);
    const deaf = stream.listen(({ kind, data }) => {
      if (kind === 'gap' || data['device'] === this.id) ask();
    });
    return () => {
      clearInterval(timer);
      deaf();
      this.device.close();
      this.latest.close();
    };
  }
}
