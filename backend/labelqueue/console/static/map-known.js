// What is known of single images: at once what the map's channels say, then what a worker tells of those in sight.

import { answerOf } from "./console.js";

const KEPT = 5000; // images of which details are kept

const percent = (share) => `${Math.round(100 * share)} %`;

export class Known {
  // `addresses`: of details, thumbnails, tasks in Label Studio and pages of what is like one, as the page gives them.
  constructor(addresses, points) {
    Object.assign(this, { addresses, points, details: new Map(), asking: new Set() });
  }

  // The map moved on: what was said of images may be true no more, but which image it is stays.
  forget() {
    for (const row of this.details.values()) row.old = true;
  }

  async ask(tasks) {
    const wanted = tasks.filter((task) => (this.details.get(task)?.old ?? true) && !this.asking.has(task));
    if (wanted.length === 0) return;
    wanted.forEach((task) => this.asking.add(task));
    try {
      this.learn((await answerOf(this.addresses.details, { body: { tasks: wanted }, wait: 250 })).tasks);
    } finally {
      wanted.forEach((task) => this.asking.delete(task));
    }
  }

  learn(rows) {
    for (const row of rows) {
      this.details.delete(row.task);
      this.details.set(row.task, { ...row });
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
    const { source } = this.details.get(task) ?? {};
    if (!source) return;
    const address = `${this.addresses.thumbs}/${task}?v=${source}`;
    image.alt = `task ${task}`;
    if (!image.src.includes(address)) {
      delete image.dataset.tried;
      image.src = address;
    }
  }

  taskAddress(task) {
    return this.addresses.task.replace("TASK", String(task));
  }

  likeAddress(task) {
    return `${this.addresses.like}/${task}`;
  }
}
