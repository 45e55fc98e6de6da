/** My tasks, and what is known of each: the last answers, kept on the phone with their age. */
import { clock } from '../lib/clock.svelte';
import { api, Problem, type Arming, type Detail, type Device, type Said, type Task } from './api';
import { keep, kept } from './db';
import { link } from './link.svelte';
import { me } from './me.svelte';
import { outbox } from './outbox.svelte';

const EVERY_MS = 30_000;
const AGAIN_MS = 10_000;
export type Aged<T> = { at: number; value: T };

class Work {
  tasks = $state.raw<Task[]>([]);
  details = $state.raw<Record<number, Detail>>({});
  devices = $state.raw<Record<string, Device>>({});
  latest = $state.raw<Record<string, Aged<Said[]>>>({});
  arming = $state.raw<Record<string, Aged<Arming>>>({});
  /** When the list came, in the server's milliseconds; 0 before the first. */
  at = $state(0);
  problem = $state.raw<Problem | null>(null);
  loading = $state(true);
  #running = false;
  #lookedAt = 0;

  async begin(): Promise<void> {
    link.whenBack(() => void this.refresh());
    document.addEventListener('visibilitychange', () => void (document.visibilityState === 'visible' && this.refresh()));
    setInterval(() => void (document.visibilityState === 'visible' && this.refresh()), EVERY_MS);
    await this.refresh();
  }

  async refresh(): Promise<void> {
    if (this.#running || me.actor === '') return;
    this.#running = true;
    try {
      this.tasks = await api.tasks(me.actor);
      this.at = clock.exact();
      this.problem = null;
      await keep(`tasks/${me.actor}`, this.at, this.tasks);
      for (const task of this.tasks) await this.#know(task);
      await outbox.tidy(new Set(this.tasks.map((task) => task.id)));
    } catch (fault) {
      if (!(fault instanceof Problem)) throw fault;
      this.problem = fault;
    } finally {
      this.loading = false;
      this.#running = false;
    }
  }

  /** What came as the answer to a deed. */
  hear(answer: Detail | Arming): void {
    if ('armed' in answer) this.arming = { ...this.arming, [answer.device]: { at: clock.exact(), value: answer } };
    else this.learn(answer);
  }

  learn(detail: Detail): void {
    // Two answers may overtake each other; a version only grows.
    if ((this.details[detail.id]?.version ?? 0) > detail.version) return;
    this.details = { ...this.details, [detail.id]: detail };
    this.tasks = this.tasks.map((task) => (task.id === detail.id ? detail : task));
    void keep(`case/${detail.id}`, clock.exact(), detail);
  }

  /** Ask the device of a task; and the task itself where the device says something else than before, or it is some time ago:
   * what its word is worth for the case is the cloud's to say, and no step changes with it. */
  async look(device: string, id: number): Promise<void> {
    try {
      const before = this.#flags(device);
      const [said, arming] = await Promise.all([api.latest(device), api.arming(device).catch((fault: unknown) => this.#unless404(fault))]);
      const at = clock.exact();
      this.latest = { ...this.latest, [device]: { at, value: said } };
      void keep(`latest/${device}`, at, said);
      if (arming !== null) this.arming = { ...this.arming, [device]: { at, value: arming } };
      if (arming !== null) void keep(`arming/${device}`, at, arming);
      if (this.#flags(device) === before && at - this.#lookedAt < AGAIN_MS) return;
      this.#lookedAt = at;
      this.learn(await api.detail(id));
    } catch (fault) {
      if (!(fault instanceof Problem)) throw fault;
    }
  }

  #flags(device: string): string {
    return (this.latest[device]?.value ?? []).filter((one) => typeof one.value === 'boolean').map((one) => `${one.metric}=${String(one.value)}`).join();
  }

  #unless404(fault: unknown): null {
    if (fault instanceof Problem && fault.status === 404) return null;
    throw fault;
  }

  async #know(task: Task): Promise<void> {
    if (this.details[task.id]?.version !== task.version) this.learn(await api.detail(task.id));
    const device = task.device;
    if (device === null || this.devices[device] !== undefined) return;
    const found = await api.device(device);
    this.devices = { ...this.devices, [device]: found };
    void keep(`device/${device}`, clock.exact(), found);
  }

  /** What an earlier life of the page kept. */
  async remember(): Promise<void> {
    const tasks = await kept<Task[]>(`tasks/${me.actor}`);
    if (tasks === undefined) return;
    const details: Record<number, Detail> = {};
    const devices: Record<string, Device> = {};
    const latest: Record<string, Aged<Said[]>> = {};
    const arming: Record<string, Aged<Arming>> = {};
    for (const task of tasks.value) {
      const detail = await kept<Detail>(`case/${task.id}`);
      if (detail !== undefined) details[task.id] = detail.value;
      if (task.device === null) continue;
      const [device, said, armed] = await Promise.all([kept<Device>(`device/${task.device}`), kept<Said[]>(`latest/${task.device}`), kept<Arming>(`arming/${task.device}`)]);
      if (device !== undefined) devices[task.device] = device.value;
      if (said !== undefined) latest[task.device] = { at: said.at, value: said.value };
      if (armed !== undefined) arming[task.device] = { at: armed.at, value: armed.value };
    }
    [this.details, this.devices, this.latest, this.arming] = [details, devices, latest, arming];
    [this.tasks, this.at, this.loading] = [tasks.value, tasks.at, false];
  }
}

export const work = new Work();
