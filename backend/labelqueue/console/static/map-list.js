// A list of images with boxes to check, a page at a time: of what was selected, and of what is most like it.

const SHOWN = 24; // images of a page

const number = new Intl.NumberFormat("en");

export class ImageList {
  // `box`: the element with [data-items], [data-pages] and the template; `source`: what is known of tasks.
  constructor(box, source, changed) {
    Object.assign(this, { box, source, changed, tasks: [], notes: new Map(), checked: new Set(), page: 0 });
    this.items = box.querySelector("[data-items]");
    this.pages = box.querySelector("[data-pages]");
    this.template = box.querySelector("template");
    this.items.addEventListener("change", ({ target }) => {
      if (target.checked) this.checked.add(Number(target.value));
      else this.checked.delete(Number(target.value));
      changed();
    });
    this.pages.addEventListener("click", ({ target }) => {
      const way = Number(target.closest("button")?.dataset.way ?? 0);
      if (way) this.turn(this.page + way);
    });
  }

  // Show tasks; `notes`: what is to be said of some, such as how alike they are.
  show(tasks, notes = new Map()) {
    Object.assign(this, { tasks, notes, checked: new Set() });
    this.turn(0);
  }

  get last() {
    return Math.max(Math.ceil(this.tasks.length / SHOWN) - 1, 0);
  }

  // What an action is about: what is checked, or all.
  get chosen() {
    return this.checked.size ? this.tasks.filter((task) => this.checked.has(task)) : this.tasks;
  }

  checkPage(checked) {
    for (const box of this.items.querySelectorAll("input")) {
      box.checked = checked;
      if (checked) this.checked.add(Number(box.value));
      else this.checked.delete(Number(box.value));
    }
    this.changed();
  }

  turn(page) {
    this.page = Math.min(Math.max(page, 0), this.last);
    const shown = this.tasks.slice(this.page * SHOWN, (this.page + 1) * SHOWN);
    this.items.replaceChildren(...shown.map((task) => this.item(task)));
    this.pages.hidden = this.last === 0;
    const [before, after] = this.pages.querySelectorAll("button");
    before.disabled = this.page === 0;
    after.disabled = this.page === this.last;
    const [now, all] = [this.page + 1, this.last + 1].map(number.format);
    this.pages.querySelector("span").textContent = `page ${now} of ${all}`;
    this.source.ask(shown, () => this.fill()).catch(() => {}); // what the map itself says stands there
    this.changed();
  }

  item(task) {
    const item = this.template.content.cloneNode(true).querySelector("li");
    item.dataset.task = String(task);
    const box = item.querySelector("input");
    Object.assign(box, { value: String(task), checked: this.checked.has(task) });
    item.querySelector("[data-name]").textContent = `task ${task}`;
    const [like, out] = [item.querySelector("a[data-like]"), item.querySelector("a[data-out]")];
    Object.assign(like, { href: this.source.likeAddress(task), ariaLabel: `More like task ${task}` });
    Object.assign(out, { href: this.source.taskAddress(task), ariaLabel: `Open task ${task} in Label Studio` });
    this.source.fillImage(item.querySelector("img"), task);
    this.describe(item, task);
    return item;
  }

  // Say again what is known of the images that are shown.
  fill() {
    for (const item of this.items.children) {
      const task = Number(item.dataset.task);
      this.source.fillImage(item.querySelector("img"), task);
      this.describe(item, task);
    }
  }

  describe(item, task) {
    const told = [this.notes.get(task), ...this.source.tell(task)].filter(Boolean);
    item.querySelector("[data-told]").textContent = told.join(" · ");
  }
}
