/** A small canvas to draw an image of the map on, in units of CSS pixels. */
export const RATIO = 2;

export type Drawn = { name: string; image: ImageData; ratio: number };
export type Pen = CanvasRenderingContext2D;
export type Path = (c: Pen) => void;

export function paper(name: string, width: number, height: number, draw: (c: Pen) => void): Drawn {
  const canvas = document.createElement('canvas');
  canvas.width = width * RATIO;
  canvas.height = height * RATIO;
  const c = canvas.getContext('2d');
  if (c === null) throw new Error('no 2d canvas');
  c.scale(RATIO, RATIO);
  c.lineJoin = 'round';
  draw(c);
  return { name, image: c.getImageData(0, 0, canvas.width, canvas.height), ratio: RATIO };
}

export function polygon(...points: [number, number][]): Path {
  return (c) => {
    c.beginPath();
    for (const [x, y] of points) c.lineTo(x, y);
    c.closePath();
  };
}

export function circle(x: number, y: number, radius: number): Path {
  return (c) => {
    c.beginPath();
    c.arc(x, y, radius, 0, Math.PI * 2);
  };
}
