// Which images are inside a polygon: the polygon as a mask of cells, and a question per image only where its edge runs.

const SIDE = 512; // cells of the mask across and down
const EDGE = 2, INSIDE = 1;

// `polygon`: a list of [x, y] in the map's units, closed by itself; even-odd, as canvases may fill. Returns rows.
export function rowsInside(xy, polygon) {
  if (polygon.length < 3) return new Uint32Array(0);
  const xs = polygon.map(([x]) => x), ys = polygon.map(([, y]) => y);
  const left = Math.min(...xs), right = Math.max(...xs), top = Math.min(...ys), bottom = Math.max(...ys);
  const across = (right - left) / SIDE || 1, down = (bottom - top) / SIDE || 1;
  const perX = 1 / across, perY = 1 / down;
  const mask = maskOf(polygon, left, top, perX, perY);
  const images = xy.length / 2, found = new Uint32Array(images);
  let count = 0;
  for (let row = 0; row < images; row += 1) {
    const x = xy[2 * row], y = xy[2 * row + 1];
    if (x < left || x > right || y < top || y > bottom) continue;
    const cx = ((x - left) * perX) | 0, cy = ((y - top) * perY) | 0;
    const cell = mask[(cy < SIDE ? cy : SIDE - 1) * SIDE + (cx < SIDE ? cx : SIDE - 1)];
    if (cell === INSIDE || (cell === EDGE && contains(polygon, x, y))) found[count++] = row;
  }
  return found.subarray(0, count);
}

function contains(polygon, x, y) {
  let inside = false;
  for (let at = 0, before = polygon.length - 1; at < polygon.length; before = at, at += 1) {
    const a = polygon[at], b = polygon[before];
    if (a[1] > y !== b[1] > y && x < ((b[0] - a[0]) * (y - a[1])) / (b[1] - a[1]) + a[0]) inside = !inside;
  }
  return inside;
}

function maskOf(polygon, left, top, perX, perY) {
  const mask = new Uint8Array(SIDE * SIDE);
  const cell = (value) => Math.min(Math.max(Math.floor(value), 0), SIDE - 1);
  const corners = polygon.map(([x, y]) => [(x - left) * perX, (y - top) * perY]);
  const crossings = Array.from({ length: SIDE }, () => []); // of the middle of each line of cells
  let [bx, by] = corners.at(-1);
  for (const [ax, ay] of corners) {
    const slope = (bx - ax) / (by - ay);
    // A thousandth more on each side, so that rounding puts no edge into a cell that has none.
    for (let line = cell(Math.min(ay, by) - 1e-3); line <= cell(Math.max(ay, by) + 1e-3); line += 1) {
      const middle = line + 0.5;
      if (ay > middle !== by > middle) crossings[line].push(ax + slope * (middle - ay));
      const one = between(ax, ay, bx, by, slope, line - 1e-3), other = between(ax, ay, bx, by, slope, line + 1 + 1e-3);
      const from = cell(Math.min(one, other) - 1e-3), to = cell(Math.max(one, other) + 1e-3);
      mask.fill(EDGE, line * SIDE + from, line * SIDE + to + 1);
    }
    [bx, by] = [ax, ay];
  }
  crossings.forEach((found, line) => {
    found.sort((a, b) => a - b);
    for (let i = 0; i + 1 < found.length; i += 2) {
      for (let x = Math.ceil(found[i] - 0.5); x + 0.5 < found[i + 1]; x += 1) {
        const at = line * SIDE + cell(x);
        if (mask[at] !== EDGE) mask[at] = INSIDE;
      }
    }
  });
  return mask;
}

// Where an edge is at a height, or its nearer end where it does not reach that; a level edge: see `maskOf`.
function between(ax, ay, bx, by, slope, height) {
  const low = ay < by ? [ax, ay] : [bx, by], high = ay < by ? [bx, by] : [ax, ay];
  if (height <= low[1]) return low[0];
  if (height >= high[1]) return high[0];
  return ax + slope * (height - ay);
}
