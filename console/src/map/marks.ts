/** The marks of the map, drawn once per theme: shape, not colour alone, tells the state. */
import { token } from '../lib/theme.svelte';
import type { DeviceState } from '../lib/api';

const SIZE = 22;
const RATIO = 2;

type Draw = (c: CanvasRenderingContext2D) => void;

function polygon(...points: [number, number][]): Draw {
  return (c) => {
    c.beginPath();
    for (const [x, y] of points) c.lineTo(x, y);
    c.closePath();
  };
}
const circle = (radius: number): Draw => (c) => {
  c.beginPath();
  c.arc(11, 11, radius, 0, Math.PI * 2);
};

const SHAPES: Record<DeviceState, { path: Draw; hollow?: boolean; dash?: number[] }> = {
  critical: { path: polygon([11, 1.8], [20.6, 19], [1.4, 19]) },
  alarm: { path: polygon([11, 2.2], [19.8, 11], [11, 19.8], [2.2, 11]) },
  normal: { path: circle(5.4) },
  offline: { path: circle(5.4), hollow: true },
  unknown: { path: circle(5.4), hollow: true, dash: [3, 2] },
};

export type Mark = { name: string; image: ImageData; ratio: number };

export function drawMarks(): Mark[] {
  const ground = token('map-ground');
  return (Object.keys(SHAPES) as DeviceState[]).map((state) => {
    const canvas = document.createElement('canvas');
    canvas.width = canvas.height = SIZE * RATIO;
    const c = canvas.getContext('2d');
    if (c === null) throw new Error('no 2d canvas');
    c.scale(RATIO, RATIO);
    c.lineJoin = 'round';
    const { path, hollow, dash } = SHAPES[state];
    path(c);
    // A rim in the ground's colour keeps marks apart where they overlap.
    c.strokeStyle = ground;
    c.lineWidth = hollow ? 5 : 2.5;
    c.stroke();
    c.fillStyle = hollow ? ground : token(state);
    c.fill();
    if (hollow) {
      c.strokeStyle = token(state);
      c.lineWidth = 2;
      c.setLineDash(dash ?? []);
      c.stroke();
    }
    return { name: `mark-${state}`, image: c.getImageData(0, 0, canvas.width, canvas.height), ratio: RATIO };
  });
}
