/** Rings for cells of many devices: what share of them is critical, in alarm, silent. One critical device of a thousand is a
 * thin slice, not a red cell. The counts stand within, as text. */
import { token } from '../lib/theme.svelte';
import { paper, type Drawn, type Pen } from './paper';

/** A ring's shares are told in parts of this many: few enough that all rings there are take a few hundred images at most. */
export const PARTS = 16;
const NAME = /^donut-(\d+)-(\d+)-(\d+)$/;
export const DONUT = 46;
const RING = 6;

/** The ring of a name `donut-critical-alarm-silent`, each in parts of 16; null for another name. */
export function drawDonut(name: string): Drawn | null {
  const [, critical, alarm, silent] = NAME.exec(name) ?? [];
  if (critical === undefined) return null;
  return paper(name, DONUT, DONUT, (c) => drawRing(c, [[Number(critical), 'critical'], [Number(alarm), 'alarm'], [Number(silent), 'offline']]));
}

function drawRing(c: Pen, shares: [number, string][]): void {
  const middle = DONUT / 2;
  const radius = middle - RING / 2 - 1;
  c.beginPath();
  c.arc(middle, middle, radius + RING / 2 + 0.5, 0, Math.PI * 2);
  c.fillStyle = token('panel');
  c.fill();
  c.lineWidth = RING;
  arc(c, radius, 0, PARTS, 'normal', 0.45);
  let from = 0;
  for (const [parts, colour] of shares) {
    const to = Math.min(PARTS, from + parts);
    if (to > from) arc(c, radius, from, to, colour, 1);
    from = to;
  }
}

function arc(c: Pen, radius: number, from: number, to: number, colour: string, alpha: number): void {
  const angle = (part: number) => (part / PARTS) * Math.PI * 2 - Math.PI / 2;
  c.beginPath();
  c.arc(DONUT / 2, DONUT / 2, radius, angle(from), angle(to));
  c.globalAlpha = 1;
  c.strokeStyle = token('panel');
  c.stroke();
  c.globalAlpha = alpha;
  c.strokeStyle = token(colour);
  c.stroke();
  c.globalAlpha = 1;
}
