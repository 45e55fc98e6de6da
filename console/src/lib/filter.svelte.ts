import { DEVICE_STATES, type DeviceState } from './api';
import { mapApi, type MapInfo, type Wanted } from './api_map';
import { city } from './city.svelte';
import { Resource } from './resource.svelte';
import { router } from './router.svelte';

/** Which devices the page shows. The address holds it, so a link shows a colleague the same. */
class Filter {
  kind = $derived(router.get('kind'));
  district = $derived(router.get('district'));
  /** Of the list alone: tiles know no text. */
  text = $derived(router.get('q'));
  #state = $derived(router.get('state'));
  states = $derived(this.#state.split(',').filter((s): s is DeviceState => (DEVICE_STATES as readonly string[]).includes(s)));
  active = $derived(this.kind !== '' || this.district !== '' || this.text !== '' || this.states.length > 0);
  wanted = $derived<Wanted>({ kind: this.kind === '' ? [] : [this.kind], district: this.district, state: this.states });
  kinds = $derived([...new Set([...Object.keys(city.info.data?.kinds ?? {}), this.kind])].filter((kind) => kind !== '').sort());

  /** Counts under kind and district, but not under the states: what the numbers beside the states count. */
  counted = $derived.by(() => {
    const { kind, district } = this.wanted;
    return kind.length === 0 && district === '' ? city.info : new Resource<MapInfo>(() => mapApi.info({ kind, district }));
  });
  counts = $derived.by(() => {
    const states = this.counted.data?.states ?? {};
    return Object.fromEntries(DEVICE_STATES.map((state) => [state, states[state] ?? 0])) as Record<DeviceState, number>;
  });
  known = $derived(this.counted.data !== null);
  shown = $derived(this.states.length === 0 ? DEVICE_STATES.reduce((sum, state) => sum + this.counts[state], 0) : this.states.reduce((sum, state) => sum + this.counts[state], 0));

  toggle(state: DeviceState): void {
    const states = this.states.includes(state) ? this.states.filter((s) => s !== state) : [...this.states, state];
    router.set({ state: states.join(',') });
  }

  clear(): void {
    router.set({ kind: '', q: '', state: '', district: '' });
  }
}

export const filter = new Filter();
