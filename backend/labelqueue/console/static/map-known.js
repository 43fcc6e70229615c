// What is known of single images: at once what the map's channels say, then what a worker tells of those in sight.

import { call } from "./console.js";

const KEPT = 5000; // images of which details are kept
const WAIT = 300; // ms until a worker's answer is asked for again
const TRIES = 200;

const percent = (share) => `${Math.round(100 * share)} %`;

export class Known {
  // `addresses`: of details, tasks in Label Studio and pages of what is like one, as the page gives them.
  constructor(addresses, points) {
    Object.assign(this, { addresses, points, details: new Map(), asking: new Set() });
  }

  // The map moved on: what was said of images may be true no more, but which image it is stays.
  forget() {
    for (const row of this.details.values()) row.old = true;
  }

  // Ask for what is not known yet; `told` is called whenever more of it is. Pictures need no worker and come first.
  async ask(tasks, told) {
    const wanted = tasks.filter((task) => (this.details.get(task)?.old ?? true) && !this.asking.has(task));
    if (wanted.length === 0) return;
    wanted.forEach((task) => this.asking.add(task));
    try {
      for (let tried = 0; tried < TRIES; tried += 1) {
        const answer = await call(this.addresses.details, { tasks: wanted });
        this.learn(answer.tasks, answer.waiting);
        if (tried === 0 || !answer.waiting) told();
        if (!answer.waiting) return;
        await new Promise((done) => setTimeout(done, WAIT));
      }
    } finally {
      wanted.forEach((task) => this.asking.delete(task));
    }
  }

  learn(rows, waiting = false) {
    for (const row of rows) {
      const before = this.details.get(row.task);
      this.details.delete(row.task);
      this.details.set(row.task, { ...(waiting ? before : {}), ...row, old: waiting });
    }
    for (const task of this.details.keys()) {
      if (this.details.size <= KEPT) break;
      this.details.delete(task);
    }
  }

  name(channel, row) {
    const points = this.points();
    const code = points.column(channel)?.[row];
    return points.facts.columns[channel]?.names?.[code] ?? "";
  }

  // Short sentences about a task.
  tell(task) {
    const points = this.points();
    const row = points?.rowOf(task) ?? -1;
    const details = this.details.get(task) ?? {};
    const say = (channel) => (row >= 0 && this.name(channel, row)) || details[channel] || "";
    const told = [say("state")];
    if (say("label")) told.push(`label ${say("label")}`);
    else if (say("prediction")) {
      const sure = details.probability == null ? "" : ` (${percent(details.probability)})`;
      told.push(`prediction ${details.prediction || say("prediction")}${sure}`);
    }
    if (details.rank != null) told.push(`place ${details.rank} of the queue`);
    if (details.reason) told.push(details.reason);
    return told.filter(Boolean);
  }

  fillImage(image, task) {
    const { picture } = this.details.get(task) ?? {};
    if (!picture) return;
    image.alt = picture.alt;
    if (!picture.address) image.removeAttribute("src");
    else if (!image.src.includes(picture.address)) {
      delete image.dataset.tried;
      image.src = picture.address;
    }
  }

  taskAddress(task) {
    return this.addresses.task.replace("TASK", String(task));
  }

  likeAddress(task) {
    return `${this.addresses.like}/${task}`;
  }
}
