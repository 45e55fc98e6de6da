import { DEVICE_STATES, type Device, type DeviceState } from './api';
import { city } from './city.svelte';
import { router } from './router.svelte';

/** Which devices the page shows. The address holds it, so a link shows a colleague the same. */
class Filter {
  kind = $derived(router.get('kind'));
  text = $derived(router.get('q'));
  states = $derived(router.get('state').split(',').filter((s): s is DeviceState => (DEVICE_STATES as readonly string[]).includes(s)));
  active = $derived(this.kind !== '' || this.text !== '' || this.states.length > 0);
  kinds = $derived([...new Set(city.all.map((d) => d.kind))].sort());
  /** All but the state: what the counts beside the states count. */
  #kindAndText = $derived(city.all.filter((d) => this.#matches(d)));
  devices = $derived(this.states.length === 0 ? this.#kindAndText : this.#kindAndText.filter((d) => this.states.includes(d.state)));
  counts = $derived.by(() => {
    const counts: Record<DeviceState, number> = { critical: 0, alarm: 0, normal: 0, offline: 0, unknown: 0 };
    for (const device of this.#kindAndText) counts[device.state] += 1;
    return counts;
  });

  #matches(device: Device): boolean {
    if (this.kind !== '' && device.kind !== this.kind) return false;
    const text = this.text.toLowerCase();
    return text === '' || device.id.toLowerCase().includes(text) || device.name.toLowerCase().includes(text) || device.component_code.includes(text);
  }

  toggle(state: DeviceState): void {
    const states = this.states.includes(state) ? this.states.filter((s) => s !== state) : [...this.states, state];
    router.set({ state: states.join(',') });
  }

  clear(): void {
    router.set({ kind: '', q: '', state: '' });
  }
}

export const filter = new Filter();
