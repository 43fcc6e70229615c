// The map in pixels, written into an ImageData: a million images are a few loops over plain arrays.

import { colorOf } from "./map-colors.js";
import { cross, mark, ring } from "./map-shapes.js";

export const HIDDEN = 0, FAINT = 1, PLAIN = 2; // how an entry of the legend is shown
const FAINTLY = 0x48; // opacity of what is not looked at
const LARGEST = 5; // radius in CSS pixels
const CROWD = 8; // pixels of the canvas that an image has for itself, on average

// Radius of a mark in pixels: smaller the more there are, larger the nearer one looks.
export function radiusOf(count, view) {
  const room = Math.sqrt((view.width * view.height) / Math.max(count, 1) / CROWD) * Math.max(view.zoom, 1);
  return Math.min(Math.max(room, 0.5 * view.ratio), LARGEST * view.ratio);
}

// Mix a color into a pixel, by the share that a mark covers of it.
function mixed(under, color, cover) {
  const over = (cover * (color >>> 24)) / 65025;
  const below = (under >>> 24) / 255;
  const all = over + below * (1 - over);
  if (all === 0) return 0;
  const share = over / all;
  let pixel = Math.round(255 * all) << 24;
  for (const shift of [0, 8, 16]) {
    const from = (under >> shift) & 255;
    pixel |= Math.round(from + share * (((color >> shift) & 255) - from)) << shift;
  }
  return pixel >>> 0;
}

function put(pixels, at, color, { at: offsets, cover }) {
  for (let i = 0; i < offsets.length; i += 1) {
    const pixel = at + offsets[i];
    pixels[pixel] = cover[i] === 255 && color >>> 24 === 255 ? color : mixed(pixels[pixel], color, cover[i]);
  }
}

export class Painter {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.image = null;
  }

  // `look`: entries, entryOf, codes, levels (one per entry), selected (a byte per row, or null), marked (row lists).
  paint(points, view, look, palette) {
    const radius = radiusOf(points.count, view);
    const pad = 2 * Math.ceil(radius + 4 * view.ratio); // marks beyond the edge are cut without a question per pixel
    const width = view.width + 2 * pad, height = view.height + 2 * pad;
    if (this.image?.width !== width || this.image.height !== height) this.image = new ImageData(width, height);
    const pixels = new Uint32Array(this.image.data.buffer).fill(0);
    const at = placesOf(points.xy, view, pad, width);
    const stamps = look.entries.map((entry) => mark(entry.shape, radius, width));
    const colors = look.entries.map((entry) => colorOf(entry, palette));
    const { codes, entryOf, levels, selected } = look;
    // What is looked at lies above the rest, and what has a color above what has none.
    const layers = look.entries.map((entry, one) => (levels[one] === PLAIN && !entry.plain ? PLAIN + 1 : levels[one]));
    for (const layer of [FAINT, PLAIN, PLAIN + 1]) {
      for (let row = 0; row < at.length; row += 1) {
        if (at[row] < 0) continue;
        const entry = entryOf[codes[row]];
        const lies = selected !== null && !selected[row] ? Math.min(layers[entry], FAINT) : layers[entry];
        if (lies !== layer) continue;
        const color = layer === FAINT ? ((colors[entry] & 0xffffff) | (FAINTLY << 24)) >>> 0 : colors[entry];
        const { at: offsets } = stamps[entry];
        if (offsets.length > 1) put(pixels, at[row], color, stamps[entry]);
        else if (layer !== FAINT || pixels[at[row]] === 0) pixels[at[row]] = color;
      }
    }
    if (selected !== null && radius >= 2) {
      const halo = ring(radius + 2.5 * view.ratio, width);
      for (let row = 0; row < at.length; row += 1) {
        if (selected[row] && at[row] >= 0) put(pixels, at[row], palette.ink, halo);
      }
    }
    const wide = Math.max(radius + 2 * view.ratio, 4 * view.ratio);
    const over = (rows, color, shape) => {
      for (const row of rows) {
        if (at[row] >= 0 && levels[entryOf[codes[row]]] !== HIDDEN) put(pixels, at[row], color, shape);
      }
    };
    over(look.marked.first, palette.mark, ring(wide, width));
    over(look.marked.out, palette.ink, cross(wide, width));
    this.canvas.width = view.width;
    this.canvas.height = view.height;
    this.context.putImageData(this.image, -pad, -pad);
  }
}

// Where each image is in the buffer, -1 for those out of sight.
function placesOf(xy, view, pad, width) {
  const count = xy.length / 2;
  const at = new Int32Array(count);
  const { scale } = view;
  const left = view.width / 2 - view.x * scale + pad, top = view.height / 2 - view.y * scale + pad;
  const near = pad / 2, right = view.width + 1.5 * pad, bottom = view.height + 1.5 * pad;
  for (let row = 0; row < count; row += 1) {
    const px = xy[2 * row] * scale + left, py = xy[2 * row + 1] * scale + top;
    at[row] = px < near || py < near || px >= right || py >= bottom ? -1 : (py | 0) * width + (px | 0);
  }
  return at;
}
