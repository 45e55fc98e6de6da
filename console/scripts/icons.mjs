// Draws the product's mark as a PNG (PNG specification, 3rd edition): the favicon's path, for launchers that take no SVG.
import { crc32, deflateSync } from 'node:zlib';

const GROUND = [0x10, 0x21, 0x2b];
const LINE = [0x5c, 0xc8, 0xe8];
/** In the favicon's units of 1/32, drawn at 3/4 of its size: a launcher may cut a maskable icon to its inner circle. */
const POINTS = [[4, 17], [10, 17], [13, 9], [18, 24], [22, 13], [24, 17], [28, 17]].map(([x, y]) => [16 + (x - 16) * 0.75, 16 + (y - 16) * 0.75]);
const HALF_WIDTH = 1.1;

function distance(x, y, [ax, ay], [bx, by]) {
  const [dx, dy] = [bx - ax, by - ay];
  const along = Math.max(0, Math.min(1, ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy)));
  return Math.hypot(x - ax - along * dx, y - ay - along * dy);
}

function chunk(kind, data) {
  const body = Buffer.concat([Buffer.from(kind, 'latin1'), data]);
  const [size, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  size.writeUInt32BE(data.length);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([size, body, sum]);
}

/** A square PNG of `size` pixels, 8 bits RGB. */
export function drawIcon(size) {
  const unit = 32 / size;
  const rows = Buffer.alloc(size * (1 + 3 * size));
  for (let row = 0; row < size; row++) {
    for (let column = 0; column < size; column++) {
      const [x, y] = [(column + 0.5) * unit, (row + 0.5) * unit];
      let nearest = Infinity;
      for (let i = 1; i < POINTS.length; i++) nearest = Math.min(nearest, distance(x, y, POINTS[i - 1], POINTS[i]));
      const cover = Math.max(0, Math.min(1, (HALF_WIDTH - nearest) / unit + 0.5));
      const at = row * (1 + 3 * size) + 1 + 3 * column;
      for (let c = 0; c < 3; c++) rows[at + c] = Math.round(GROUND[c] + (LINE[c] - GROUND[c]) * cover);
    }
  }
  const head = Buffer.alloc(13);
  head.writeUInt32BE(size, 0);
  head.writeUInt32BE(size, 4);
  head.set([8, 2, 0, 0, 0], 8);
  return Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), chunk('IHDR', head), chunk('IDAT', deflateSync(rows, { level: 9 })), chunk('IEND', Buffer.alloc(0))]);
}
