// The card beside the image that is pointed at: its thumbnail and what is known of it.

const REST = 120; // ms that a pointer rests before a worker is asked

export class Card {
  constructor(box, known) {
    Object.assign(this, { box, known, task: null, timer: 0 });
    this.image = box.querySelector("img");
    this.name = box.querySelector("[data-name]");
    this.told = box.querySelector("[data-told]");
  }

  // Show a task at a place of the stage (CSS pixels), or nothing.
  show(task, x, y) {
    if (task === null) {
      this.task = null;
      clearTimeout(this.timer);
      this.box.hidden = true;
      return;
    }
    this.box.hidden = false;
    if (task !== this.task) {
      this.task = task;
      this.image.hidden = true;
      this.image.removeAttribute("src");
      this.fill();
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.ask(task), REST);
    }
    this.move(x, y);
  }

  ask(task) {
    const told = () => this.task === task && this.fill();
    this.known.ask([task], told).catch(() => {}); // what the map itself says of it stands there
  }

  move(x, y) {
    const { clientWidth, clientHeight } = this.box.parentElement;
    const { offsetWidth, offsetHeight } = this.box;
    const left = x + 16 + offsetWidth > clientWidth ? x - 16 - offsetWidth : x + 16;
    const top = Math.min(Math.max(y - 20, 4), clientHeight - offsetHeight - 4);
    this.box.style.transform = `translate(${Math.max(left, 4)}px, ${Math.max(top, 4)}px)`;
  }

  fill() {
    this.name.textContent = `task ${this.task}`;
    this.told.textContent = this.known.tell(this.task).join(" · ");
    this.known.fillImage(this.image, this.task);
    this.image.hidden = !this.image.getAttribute("src");
  }
}
