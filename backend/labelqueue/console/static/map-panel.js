// The panel beside the map: what is selected, how many of what, and what can be done with it.

import { answerOf, call } from "./console.js";
import { ImageList } from "./map-list.js";

const number = new Intl.NumberFormat("en");
const images = (count) => `${number.format(count)} image${count === 1 ? "" : "s"}`;
const CLASSES = 12; // lines of counts

export class Panel {
  // `on`: acted(kind, tasks) returns what takes it back on the map; counts(tasks) by class; cleared(); shown(tasks).
  constructor(box, messages, addresses, known, limits, on) {
    Object.assign(this, { box, messages, addresses, known, limits, on, near: null, tasks: [] });
    this.part = Object.fromEntries([...box.querySelectorAll("[data-part]")].map((one) => [one.dataset.part, one]));
    this.list = new ImageList(this.part.list, known, () => this.name());
    box.addEventListener("click", (event) => {
      const act = event.target.closest("button[data-act]")?.dataset.act;
      if (act) this[act]();
    });
    this.part.reason.addEventListener("submit", (event) => {
      event.preventDefault();
      this.part.reason.hidden = true;
      this.act("exclude", { reason: this.part.reason.elements.reason.value });
    });
    this.part.open.addEventListener("change", () => this.showNear());
  }

  // Images were selected, by the lasso, a rectangle or the legend.
  select(tasks) {
    this.near = null;
    this.tasks = tasks;
    this.show(tasks, new Map(), tasks.length ? `${images(tasks.length)} selected` : "Nothing is selected");
  }

  show(tasks, notes, title) {
    this.part.title.textContent = title;
    this.part.hint.hidden = tasks.length > 0 || this.near !== null;
    this.part.body.hidden = tasks.length === 0 && this.near === null;
    this.part.actions.hidden = tasks.length === 0;
    this.part.reason.hidden = true;
    this.part.filter.hidden = this.part.back.hidden = this.near === null;
    this.part.counts.replaceChildren(...this.counted(tasks));
    this.list.show(tasks, notes);
    this.on.shown(tasks);
  }

  counted(tasks) {
    return this.on.counts(tasks).slice(0, CLASSES).map(([what, count]) => {
      const line = document.createElement("li");
      line.textContent = `${what}: ${number.format(count)}`;
      return line;
    });
  }

  // What the buttons would be about now.
  name() {
    const { length } = this.list.chosen;
    const many = number.format(length);
    const label = this.list.checked.size ? `the ${many} checked` : length === 1 ? "this" : `these ${many}`;
    for (const [act, text] of [["pin", `Label ${label} first`], ["leave", `Leave ${label} out`]]) {
      const button = this.box.querySelector(`[data-act="${act}"]`);
      button.textContent = text;
      button.disabled = length === 0 || length > this.limits.act;
      button.title = length > this.limits.act ? `at most ${images(this.limits.act)} at once` : "";
    }
    this.part.many.hidden = length <= this.limits.act;
    this.part.send.textContent = `Leave ${images(length)} out`;
  }

  say(told, failed = false, back = null) {
    const line = document.createElement("p");
    line.className = `notice ${failed ? "failed" : "done"}`;
    line.append(told);
    if (back !== null) {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Undo" });
      button.addEventListener("click", () => back());
      line.append(" ", button);
    }
    this.messages.replaceChildren(line);
  }

  async act(kind, more = {}) {
    const tasks = [...this.list.chosen];
    try {
      const { told, act } = await call(this.addresses[kind], { tasks, ...more });
      const before = act === null ? null : this.on.acted(kind, tasks);
      this.list.fill();
      this.say(told, false, act === null ? null : () => this.undo(act, before));
    } catch (error) {
      this.say(error.message, true);
    }
  }

  async undo(act, before) {
    try {
      const { told } = await call(this.addresses.undo, { act });
      before();
      this.list.fill();
      this.say(told);
      this.part.title.focus();
    } catch (error) {
      this.say(error.message, true);
    }
  }

  pin() {
    return this.act("pin");
  }

  leave() {
    this.part.reason.hidden = false;
    this.part.reason.elements.reason.focus();
  }

  keep() {
    this.part.reason.hidden = true;
    this.box.querySelector('[data-act="leave"]').focus();
  }

  checkAll() {
    this.list.checkPage(true);
  }

  checkNone() {
    this.list.checkPage(false);
  }

  clear() {
    this.on.cleared();
  }

  back() {
    this.select(this.tasks);
    this.part.title.focus();
  }

  csv() {
    download(`${this.limits.name}.csv`, "text/csv", ["task", ...this.list.chosen].join("\n").concat("\n"));
  }

  json() {
    download(`${this.limits.name}.json`, "application/json", JSON.stringify(this.list.chosen));
  }

  async like() {
    const asked = spread(this.list.chosen, this.limits.like);
    this.say("Looking for images that are like these …");
    try {
      const { tasks } = await answerOf(this.addresses.near, { body: { tasks: asked }, wait: 250 });
      this.known.learn(tasks);
      this.near = { tasks, asked: asked.length, of: this.list.chosen.length };
      this.messages.replaceChildren();
      this.showNear();
      this.part.title.focus();
    } catch (error) {
      this.say(error.message, true);
    }
  }

  showNear() {
    const { tasks, asked, of } = this.near;
    const rows = this.part.open.checked ? tasks.filter((row) => !row.label) : tasks;
    const notes = new Map(rows.map((row) => [row.task, `similarity ${row.similarity.toFixed(2)}`]));
    const those = asked === of ? images(asked) : `${images(asked)}, spread over the ${number.format(of)} selected`;
    const like = asked === 1 ? "that one" : `those ${those}`;
    this.show(rows.map((row) => row.task), notes, `${images(rows.length)} most like ${like}`);
  }
}

// So many of a list, spread evenly over it.
function spread(list, most) {
  if (list.length <= most) return [...list];
  return Array.from({ length: most }, (_, at) => list[Math.floor((at * list.length) / most)]);
}

function download(name, type, text) {
  const href = URL.createObjectURL(new Blob([text], { type }));
  const link = Object.assign(document.createElement("a"), { href, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(href), 1000);
}
