// The two canvases: the map and, above it, what is drawn on it; what pointers, wheels and keys mean there.

const CLICK = 4; // CSS pixels that a pointer may move and still click
const NEAR = 12; // CSS pixels from a mark at which it is meant
const STEP = 16; // CSS pixels of an arrow key
const ZOOM = 1.5; // of a key or button

export class Stage {
  // `pick(x, y, reach)`: the row there; `on`: painted(), hovered(row, px, py), picked(row, add), drawn(polygon, add),
  // cleared().
  constructor(box, view, pick, on) {
    Object.assign(this, { box, view, pick, on, tool: "move" });
    Object.assign(this, { path: [], pointers: new Map(), cross: null, corner: null, ringed: null });
    [this.map, this.above] = box.querySelectorAll("canvas");
    this.pencil = this.above.getContext("2d");
    this.asked = false;
    new ResizeObserver(() => this.fitBox()).observe(box);
    box.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    for (const kind of ["pointerdown", "pointermove", "pointerup", "pointercancel", "pointerleave"]) {
      this.map.addEventListener(kind, (event) => this[kind](event));
    }
    this.map.addEventListener("keydown", (event) => this.key(event));
    this.map.addEventListener("blur", () => this.leave());
    this.fitBox();
  }

  fitBox() {
    const ratio = Math.min(devicePixelRatio || 1, 2);
    const { clientWidth, clientHeight } = this.box;
    const [width, height] = [clientWidth, clientHeight].map((side) => Math.max(Math.round(side * ratio), 1));
    this.view.resize(width, height, ratio);
    this.repaint();
  }

  repaint() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.on.painted();
      this.draw();
    });
  }

  zoom(way) {
    const [px, py] = this.cross ?? [this.view.width / 2, this.view.height / 2];
    this.view.zoomAt(px, py, ZOOM ** way);
    this.repaint();
  }

  whole() {
    this.view.fit();
    this.repaint();
  }

  // -- pointers

  place(event) {
    const { left, top } = this.map.getBoundingClientRect(); // inside of the border
    return [(event.clientX - left) * this.view.ratio, (event.clientY - top) * this.view.ratio];
  }

  wheel(event) {
    event.preventDefault();
    this.view.zoomAt(...this.place(event), Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.0015)));
    this.repaint();
  }

  pointerdown(event) {
    if (event.button !== 0) return;
    this.map.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.place(event));
    this.cross = this.corner = null;
    this.on.hovered(-1);
    this.path = this.pointers.size === 1 ? [this.place(event)] : [];
  }

  pointermove(event) {
    const now = this.place(event);
    const before = this.pointers.get(event.pointerId);
    if (before === undefined) return this.hover(now);
    this.pointers.set(event.pointerId, now);
    if (this.pointers.size === 2) return this.pinch(event.pointerId, before, now);
    if (this.path.length === 0) return undefined;
    this.path.push(now);
    if (this.tool === "move") {
      this.view.panBy(now[0] - before[0], now[1] - before[1]);
      return this.repaint();
    }
    return this.draw();
  }

  pinch(id, before, now) {
    const [other] = [...this.pointers].filter(([one]) => one !== id).map(([, place]) => place);
    const length = (place) => Math.hypot(place[0] - other[0], place[1] - other[1]) || 1;
    this.view.zoomAt((now[0] + other[0]) / 2, (now[1] + other[1]) / 2, length(now) / length(before));
    this.view.panBy((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
    this.repaint();
  }

  pointerup(event) {
    this.pointers.delete(event.pointerId);
    const { path, view } = this;
    this.path = [];
    if (path.length === 0 || this.pointers.size > 0) return;
    const far = path.some(([x, y]) => Math.hypot(x - path[0][0], y - path[0][1]) > CLICK * view.ratio);
    if (!far) this.on.picked(this.rowAt(path[0]), event.shiftKey);
    else if (this.tool !== "move") this.on.drawn(this.shape(path).map(([x, y]) => view.toData(x, y)), event.shiftKey);
    this.draw();
  }

  pointercancel(event) {
    this.pointers.delete(event.pointerId);
    this.path = [];
    this.draw();
  }

  pointerleave() {
    this.on.hovered(-1);
  }

  rowAt([px, py]) {
    return this.pick(...this.view.toData(px, py), (NEAR * this.view.ratio) / this.view.scale);
  }

  hover(place) {
    const row = this.rowAt(place);
    this.on.hovered(row, place[0] / this.view.ratio, place[1] / this.view.ratio);
    this.map.classList.toggle("over", row >= 0);
  }

  // -- keys: a cross that moves, and with Shift a rectangle

  key(event) {
    const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (arrow) this.step(arrow, event.shiftKey);
    else if (event.key === "+" || event.key === "=") this.zoom(1);
    else if (event.key === "-") this.zoom(-1);
    else if (event.key === "0") this.whole();
    else if (event.key === "Enter") this.enter();
    else if (event.key === "Escape" && this.corner) this.corner = null;
    else if (event.key === "Escape") this.on.cleared();
    else return;
    event.preventDefault();
    this.draw();
  }

  step([dx, dy], drawing) {
    const { view } = this;
    const step = STEP * view.ratio;
    this.cross ??= [view.width / 2, view.height / 2];
    if (drawing) this.corner ??= view.toData(...this.cross);
    const [x, y] = [this.cross[0] + dx * step, this.cross[1] + dy * step];
    const inside = [Math.min(Math.max(x, step), view.width - step), Math.min(Math.max(y, step), view.height - step)];
    if (inside[0] !== x || inside[1] !== y) {
      view.panBy(inside[0] - x, inside[1] - y);
      this.repaint();
    }
    this.cross = inside;
    this.on.hovered(this.rowAt(inside), inside[0] / view.ratio, inside[1] / view.ratio);
  }

  enter() {
    if (!this.cross) return;
    const { view, corner } = this;
    this.corner = null;
    if (!corner) this.on.picked(this.rowAt(this.cross), false);
    else this.on.drawn(rectangle(view.toPixel(...corner), this.cross).map(([x, y]) => view.toData(x, y)), false);
  }

  leave() {
    this.cross = this.corner = null;
    this.on.hovered(-1);
    this.draw();
  }

  // -- what is drawn above

  shape(path) {
    return this.tool === "rectangle" ? rectangle(path[0], path.at(-1)) : path;
  }

  draw() {
    const { pencil, above, view } = this;
    above.width = view.width;
    above.height = view.height;
    const style = getComputedStyle(this.box);
    pencil.strokeStyle = style.getPropertyValue("--accent");
    pencil.fillStyle = style.getPropertyValue("--accent");
    pencil.lineWidth = 2 * view.ratio;
    if (this.path.length > 1 && this.tool !== "move") this.outline(this.shape(this.path));
    if (this.corner && this.cross) this.outline(rectangle(view.toPixel(...this.corner), this.cross));
    if (this.cross) {
      const [x, y] = this.cross, arm = 9 * view.ratio;
      this.line([x - arm, y], [x + arm, y]);
      this.line([x, y - arm], [x, y + arm]);
    }
    if (this.ringed) {
      pencil.beginPath();
      pencil.arc(...view.toPixel(...this.ringed), 8 * view.ratio, 0, 2 * Math.PI);
      pencil.stroke();
    }
  }

  // Ring around a place of the map, or none.
  ring(place) {
    this.ringed = place;
    this.draw();
  }

  outline(corners) {
    this.pencil.beginPath();
    corners.forEach(([x, y]) => this.pencil.lineTo(x, y));
    this.pencil.closePath();
    this.pencil.stroke();
    this.pencil.globalAlpha = 0.12;
    this.pencil.fill("evenodd");
    this.pencil.globalAlpha = 1;
  }

  line(from, to) {
    this.pencil.beginPath();
    this.pencil.moveTo(...from);
    this.pencil.lineTo(...to);
    this.pencil.stroke();
  }
}

const rectangle = ([ax, ay], [bx, by]) => [[ax, ay], [bx, ay], [bx, by], [ax, by]];
