// Which image is near a place: a uniform grid over the map, each cell with the rows of its images.

const SHARE = 4; // images per cell, on average
const EXTENT = 65536;

export class Grid {
  constructor(xy) {
    const count = xy.length / 2;
    this.xy = xy;
    // About as many cells as a fourth of the images, and a power of two each way: an image's cell is two shifts away.
    this.bits = Math.min(Math.max(Math.round(Math.log2(Math.sqrt(count / SHARE + 1))), 0), 10);
    const side = 1 << this.bits, shift = 16 - this.bits;
    const cellOf = (row) => ((xy[2 * row + 1] >> shift) << this.bits) + (xy[2 * row] >> shift);
    const start = (this.start = new Uint32Array(side * side + 1));
    for (let row = 0; row < count; row += 1) start[cellOf(row) + 1] += 1;
    for (let cell = 0; cell < side * side; cell += 1) start[cell + 1] += start[cell];
    const next = start.slice(0, -1);
    this.rows = new Uint32Array(count);
    for (let row = 0; row < count; row += 1) this.rows[next[cellOf(row)]++] = row;
  }

  // Row of the nearest image within `reach` of a place (all in the map's units) that `allowed` lets pass; -1: none.
  nearest(x, y, reach, allowed = () => true) {
    const side = 1 << this.bits, cell = EXTENT / side;
    const middleX = Math.floor(x / cell), middleY = Math.floor(y / cell);
    let best = reach * reach, found = -1;
    for (let away = 0; away <= Math.ceil(reach / cell) && away <= 2 * side; away += 1) {
      // Whatever is `away` cells off is at least `away - 1` whole cells from here.
      if (found >= 0 && best <= ((away - 1) * cell) ** 2 && away > 1) break;
      for (let cy = middleY - away; cy <= middleY + away; cy += 1) {
        if (cy < 0 || cy >= side) continue;
        const edge = Math.abs(cy - middleY) === away;
        for (let cx = middleX - away; cx <= middleX + away; cx += edge ? 1 : Math.max(2 * away, 1)) {
          if (cx < 0 || cx >= side) continue;
          const at = cy * side + cx;
          for (let i = this.start[at]; i < this.start[at + 1]; i += 1) {
            const row = this.rows[i];
            const dx = this.xy[2 * row] - x, dy = this.xy[2 * row + 1] - y;
            const off = dx * dx + dy * dy;
            if (off <= best && (off < best || found < 0) && allowed(row)) [best, found] = [off, row];
          }
        }
      }
    }
    return found;
  }
}
