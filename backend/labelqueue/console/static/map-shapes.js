// The marks that images are shown by. A mark is told by its shape too, never by its color alone.

const SAMPLES = 4; // per pixel and direction, for soft edges

// Whether a point of the unit square's middle belongs to the mark; u and v from -1 to 1, down is +.
const SHAPES = [
  (u, v) => u * u + v * v <= 1, // disc
  (u, v) => Math.abs(u) <= 0.85 && Math.abs(v) <= 0.85, // square
  (u, v) => v <= 0.8 && v >= 2 * Math.abs(u) - 1, // triangle
  (u, v) => Math.abs(u) + Math.abs(v) <= 1.1, // diamond
  (u, v) => (Math.abs(u) <= 0.38 || Math.abs(v) <= 0.38) && Math.abs(u) <= 1 && Math.abs(v) <= 1, // plus
  (u, v) => v >= -0.8 && v <= 1 - 2 * Math.abs(u), // triangle, point down
];
const RING = (u, v) => u * u + v * v <= 1 && u * u + v * v >= 0.6;
const CROSS = (u, v) => Math.abs(Math.abs(u) - Math.abs(v)) <= 0.28 && Math.abs(u) <= 0.9 && Math.abs(v) <= 0.9;

export const shapes = SHAPES.length;

// Which pixels a mark covers: offsets in a buffer of that width, and how much of each (255: all of it).
function stamp(inside, radius, width) {
  const reach = Math.ceil(radius);
  const at = [];
  const cover = [];
  for (let dy = -reach; dy <= reach; dy += 1) {
    for (let dx = -reach; dx <= reach; dx += 1) {
      let hits = 0;
      for (let a = 0.5; a < SAMPLES; a += 1) {
        for (let b = 0.5; b < SAMPLES; b += 1) {
          if (inside((dx - 0.5 + a / SAMPLES) / radius, (dy - 0.5 + b / SAMPLES) / radius)) hits += 1;
        }
      }
      if (hits === 0) continue;
      at.push(dy * width + dx);
      cover.push(Math.round((255 * hits) / SAMPLES ** 2));
    }
  }
  return { at: Int32Array.from(at), cover: Uint8Array.from(cover) };
}

function block(side, width) {
  const at = [];
  for (let dy = 0; dy < side; dy += 1) for (let dx = 0; dx < side; dx += 1) at.push(dy * width + dx);
  return { at: Int32Array.from(at), cover: new Uint8Array(at.length).fill(255) };
}

// Mark number `shape` of that radius in pixels; shapes of so few pixels that nobody tells them apart are blocks.
export function mark(shape, radius, width) {
  if (radius < 2) return block(Math.max(1, Math.round(1.6 * radius)), width);
  return stamp(SHAPES[shape % shapes], radius, width);
}

export const ring = (radius, width) => stamp(RING, radius, width);
export const cross = (radius, width) => stamp(CROSS, radius, width);

// A mark as it stands in the legend, on a canvas of its own.
export function swatch(canvas, shape, color, ratio) {
  const side = Math.round(14 * ratio);
  canvas.width = canvas.height = side;
  const image = new ImageData(side, side);
  const pixels = new Uint32Array(image.data.buffer);
  const { at, cover } = stamp(SHAPES[shape % shapes], 0.42 * side, side);
  const middle = (side >> 1) * side + (side >> 1);
  at.forEach((offset, i) => (pixels[middle + offset] = ((color & 0xffffff) | (cover[i] << 24)) >>> 0));
  canvas.getContext("2d").putImageData(image, 0, 0);
}
