/** How a task is put in order, and what it says of itself. */
import { numberOf } from './format';
import { say } from './words.svelte';
import type { Detail, Task } from './api';
import { metresBetween, type Position } from './here.svelte';
import type { Item } from './outbox.svelte';

const QUARTER_MS = 15 * 60_000;

export function placeOf(task: Task): Position | null {
  return task.longitude === null || task.latitude === null ? null : { longitude: task.longitude, latitude: task.latitude };
}

export function farOf(task: Task, from: Position | null): number | null {
  const place = placeOf(task);
  return place === null || from === null ? null : metresBetween(place, from);
}

/** By deadline, those without one last; what falls due in the same quarter of an hour by distance, then by number. */
export function inOrder(tasks: readonly Task[], from: Position | null): Task[] {
  const due = (task: Task) => (task.due === null ? Number.MAX_SAFE_INTEGER : Math.floor(Date.parse(task.due) / QUARTER_MS));
  return [...tasks].sort((a, b) => due(a) - due(b) || (farOf(a, from) ?? Infinity) - (farOf(b, from) ?? Infinity) || a.id - b.id);
}

export function distanceOf(metres: number): string {
  return metres < 1000 ? `${Math.round(metres / 10) * 10} m` : `${numberOf(metres / 1000, 2)} km`;
}

/** RFC 5870, with the query that Android's maps read for a label. */
export function mapHref(task: Task): string | null {
  const place = placeOf(task);
  if (place === null) return null;
  const at = `${place.latitude.toFixed(6)},${place.longitude.toFixed(6)}`;
  return `geo:${at}?q=${at}(${encodeURIComponent(say(task.title, task.matter))})`;
}

/** Whether somebody did `step` since the task was assigned last, or did it here and it waits to be sent. */
export function wasDone(step: string, actor: string, detail: Detail | undefined, waiting: readonly Item[]): 'no' | 'queued' | 'yes' {
  if (waiting.some((item) => item.step === step)) return 'queued';
  const steps = detail?.steps ?? [];
  const since = steps.findLastIndex((one) => one.step === 'assign' || one.step === 'rework');
  return steps.slice(since + 1).some((one) => one.step === step && one.actor === actor) ? 'yes' : 'no';
}
