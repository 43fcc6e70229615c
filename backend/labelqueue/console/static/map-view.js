// Which part of the map is seen: pixels of the canvas (those of the device) per unit, and the point in its middle.

const MARGIN = 24; // CSS pixels around the whole map
const NEAREST = 600; // times as large as the whole map
const FARTHEST = 0.5;

export class View {
  constructor() {
    Object.assign(this, { width: 1, height: 1, ratio: 1, scale: 1, x: 0, y: 0, whole: 1, moved: false });
    this.bounds = { left: 0, top: 0, right: 65535, bottom: 65535 };
  }

  resize(width, height, ratio) {
    const before = this.whole;
    Object.assign(this, { width, height, ratio });
    this.whole = this.fitting();
    if (this.moved) this.scale *= this.whole / before;
    else this.fit();
  }

  // Other points: the view stays where somebody moved it to.
  setBounds(bounds) {
    this.bounds = bounds;
    this.whole = this.fitting();
    if (!this.moved) this.fit();
  }

  fitting() {
    const { left, top, right, bottom } = this.bounds;
    const margin = 2 * MARGIN * this.ratio;
    const across = Math.max(this.width - margin, 1) / Math.max(right - left, 1);
    return Math.min(across, Math.max(this.height - margin, 1) / Math.max(bottom - top, 1));
  }

  fit() {
    const { left, top, right, bottom } = this.bounds;
    Object.assign(this, { scale: this.whole, x: (left + right) / 2, y: (top + bottom) / 2, moved: false });
  }

  get zoom() {
    return this.scale / this.whole;
  }

  toPixel(x, y) {
    return [(x - this.x) * this.scale + this.width / 2, (y - this.y) * this.scale + this.height / 2];
  }

  toData(px, py) {
    return [(px - this.width / 2) / this.scale + this.x, (py - this.height / 2) / this.scale + this.y];
  }

  zoomAt(px, py, factor) {
    const [x, y] = this.toData(px, py);
    this.scale = Math.min(Math.max(this.scale * factor, FARTHEST * this.whole), NEAREST * this.whole);
    this.x = x - (px - this.width / 2) / this.scale;
    this.y = y - (py - this.height / 2) / this.scale;
    this.moved = true;
  }

  panBy(dx, dy) {
    const { left, top, right, bottom } = this.bounds;
    this.x = Math.min(Math.max(this.x - dx / this.scale, left), right);
    this.y = Math.min(Math.max(this.y - dy / this.scale, top), bottom);
    this.moved = true;
  }

  center(x, y, zoom) {
    Object.assign(this, { x, y, scale: Math.max(this.scale, zoom * this.whole), moved: true });
  }
}
