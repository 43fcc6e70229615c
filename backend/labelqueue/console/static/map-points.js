// What the map shows, as the server keeps it: two 16-bit coordinates, an id and one byte per channel for each image.

const NEAR = 8; // rows that are looked at before all are searched
const TRIES = 4; // of reading a map as a whole while a worker replaces it

export class Points {
  constructor(facts, xy, ids) {
    Object.assign(this, { facts, xy, ids, count: ids.length, columns: new Map(), reading: new Map() });
    this.bounds = boundsOf(xy);
  }

  column(name) {
    return this.columns.get(name);
  }

  // Row of a task, -1 when it is not on the map; ids ascend.
  rowOf(task) {
    let low = 0, high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.ids[middle] < task) low = middle + 1;
      else high = middle;
    }
    return this.ids[low] === task ? low : -1;
  }

  // The same question comes several times, of many tasks.
  rowsOf(tasks) {
    if (this.asked?.tasks !== tasks) {
      const rows = new Uint32Array(tasks.length);
      let count = 0, next = 0;
      for (let at = 0; at < tasks.length; at += 1) {
        // Most come in ascending sequence, close to one another.
        for (let tried = 0; tried < NEAR && this.ids[next] < tasks[at]; tried += 1) next += 1;
        const row = this.ids[next] === tasks[at] ? next : this.rowOf(tasks[at]);
        if (row < 0) continue;
        rows[count++] = row;
        next = row + 1;
      }
      this.asked = { tasks, rows: rows.subarray(0, count) };
    }
    return this.asked.rows;
  }

  tasksOf(rows) {
    const tasks = new Array(rows.length);
    for (let at = 0; at < rows.length; at += 1) tasks[at] = this.ids[rows[at]];
    return tasks;
  }

  sameImages(other) {
    return this.count === other.count && this.ids.every((id, row) => id === other.ids[row]);
  }
}

function boundsOf(xy) {
  let [left, top, right, bottom] = [65535, 65535, 0, 0];
  for (let at = 0; at < xy.length; at += 2) {
    const x = xy[at], y = xy[at + 1];
    if (x < left) left = x;
    if (x > right) right = x;
    if (y < top) top = y;
    if (y > bottom) bottom = y;
  }
  return xy.length ? { left, top, right, bottom } : { left: 0, top: 0, right: 65535, bottom: 65535 };
}

// Every part is asked for by the map's revision: parts of two maps never come together.
class Replaced extends Error {}

async function part({ base, query }, name, revision) {
  const answer = await fetch(`${base}/${name}?revision=${encodeURIComponent(revision)}${query}`);
  if (answer.status === 404) throw new Replaced("the map was replaced meanwhile: load the page again");
  if (!answer.ok) throw new Error((await answer.json()).error ?? answer.statusText);
  return answer.arrayBuffer();
}

export async function factsOf({ base }) {
  const answer = await fetch(`${base}/facts`, { headers: { Accept: "application/json" } });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.error ?? answer.statusText);
  return told;
}

// One channel of a map that is there; asked for once.
export function readColumn(addresses, points, name) {
  if (!points.reading.has(name)) {
    const read = part(addresses, `columns/${encodeURIComponent(name)}`, points.facts.revision).then((raw) => {
      points.columns.set(name, new Uint8Array(raw));
    });
    read.catch(() => points.reading.delete(name));
    points.reading.set(name, read);
  }
  return points.reading.get(name);
}

// The map as a whole with the channels that are wanted first.
export async function readMap(addresses, facts, wanted) {
  for (let tried = 1; ; tried += 1) {
    try {
      const { revision } = facts;
      const names = wanted.filter((name) => name in facts.columns);
      const [xy, ids, ...columns] = await Promise.all([
        part(addresses, "points", revision),
        part(addresses, "ids", revision),
        ...names.map((name) => part(addresses, `columns/${encodeURIComponent(name)}`, revision)),
      ]);
      const points = new Points(facts, new Uint16Array(xy), new Float64Array(ids));
      names.forEach((name, at) => {
        points.columns.set(name, new Uint8Array(columns[at]));
        points.reading.set(name, Promise.resolve());
      });
      return points;
    } catch (error) {
      if (!(error instanceof Replaced) || tried === TRIES) throw error;
      facts = (await factsOf(addresses)).facts ?? facts;
    }
  }
}
