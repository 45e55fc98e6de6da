/** The marks of the map, drawn once per theme: shape, not colour alone, tells state and priority. */
import { token } from '../lib/theme.svelte';
import type { DeviceState, Priority } from '../lib/api';
import { circle, paper, polygon, type Drawn, type Path, type Pen } from './paper';

const SIZE = 22;

const SHAPES: Record<DeviceState, { path: Path; hollow?: boolean; dash?: number[] }> = {
  critical: { path: polygon([11, 1.8], [20.6, 19], [1.4, 19]) },
  alarm: { path: polygon([11, 2.2], [19.8, 11], [11, 19.8], [2.2, 11]) },
  normal: { path: circle(11, 11, 5.4) },
  offline: { path: circle(11, 11, 5.4), hollow: true },
  unknown: { path: circle(11, 11, 5.4), hollow: true, dash: [3, 2] },
};

/** Within a pin: the same shapes as in the lists, smaller. */
const PINS: Record<Priority, { path: Path; colour: string }> = {
  critical: { path: polygon([13, 6.2], [18.4, 15.6], [7.6, 15.6]), colour: 'critical' },
  high: { path: polygon([13, 5.6], [18.6, 11.4], [13, 17.2], [7.4, 11.4]), colour: 'alarm' },
  medium: { path: polygon([8.8, 7.2], [17.2, 7.2], [17.2, 15.6], [8.8, 15.6]), colour: 'medium' },
  low: { path: circle(13, 11.4, 4.2), colour: 'low' },
};
export const PIN_WIDTH = 26;
const PIN_HEIGHT = 34;

export function drawMarks(): Drawn[] {
  const states = Object.keys(SHAPES) as DeviceState[];
  const priorities = Object.keys(PINS) as Priority[];
  return [
    ...states.map((state) => paper(`mark-${state}`, SIZE, SIZE, (c) => drawState(c, state))),
    ...priorities.flatMap((priority) => [false, true].map((old) => paper(`pin-${priority}${old ? '-old' : ''}`, PIN_WIDTH, PIN_HEIGHT, (c) => drawPin(c, priority, old)))),
  ];
}

function drawState(c: Pen, state: DeviceState): void {
  const { path, hollow, dash } = SHAPES[state];
  const ground = token('map-ground');
  path(c);
  // A rim in the ground's colour keeps marks apart where they overlap.
  c.strokeStyle = ground;
  c.lineWidth = hollow ? 5 : 2.5;
  c.stroke();
  c.fillStyle = hollow ? ground : token(state);
  c.fill();
  if (!hollow) return;
  c.strokeStyle = token(state);
  c.lineWidth = 2;
  c.setLineDash(dash ?? []);
  c.stroke();
}

/** A case: the pin stands on its place. One that is older than a day has a second rim. */
function drawPin(c: Pen, priority: Priority, old: boolean): void {
  const { path, colour } = PINS[priority];
  c.beginPath();
  c.arc(13, 11.4, 9.6, Math.PI * 0.85, Math.PI * 0.15);
  c.lineTo(13, 32.4);
  c.closePath();
  c.fillStyle = token('panel');
  c.fill();
  c.lineWidth = old ? 3.2 : 1.6;
  c.strokeStyle = token(colour);
  c.stroke();
  path(c);
  c.fillStyle = token(colour);
  c.fill();
}
