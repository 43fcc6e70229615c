// The page "Map": what is seen of the points, by which channel, what is selected, and how it stays up to date.

import { Card } from "./map-card.js";
import { entriesOf, paletteOf } from "./map-colors.js";
import { Known } from "./map-known.js";
import { rowsInside } from "./map-lasso.js";
import { countsOf, Legend } from "./map-legend.js";
import { HIDDEN, Painter } from "./map-paint.js";
import { Panel } from "./map-panel.js";
import { Grid } from "./map-pick.js";
import { factsOf, readColumn, readMap } from "./map-points.js";
import { Stage } from "./map-stage.js";
import { View } from "./map-view.js";

const SOON = 1000, LATER = 5000; // ms until a worker's map is asked for again: the first one, a better one
const GLIDE = 600; // ms in which images go to their new places
const GLIDING = 200_000; // images that do
const SOLE = "state"; // the channel that is always there: what is pinned or left out shows in every color
const FIRST = "pinned", OUT = "left out";

const number = new Intl.NumberFormat("en");
const find = (name) => document.getElementById(`map-${name}`);
const main = find("page");
const addresses = { ...main.dataset };

let points = null;
let look = null; // of the painter
let grid = null;
let selected = null; // a byte per row: whether the panel lists it; null when it lists none
let chosen = []; // tasks that were selected
let listed = []; // tasks that the panel lists: those, or what is like them
let timer = 0;
let updating = Promise.resolve();
let palette = paletteOf(main);

const view = new View();
const known = new Known(addresses, () => points);
const card = new Card(find("card"), known);
const color = find("color");
const legend = new Legend(find("entries"), () => stage.repaint(), selectEntry);
const stage = new Stage(find("stage"), view, pick, { painted, hovered, picked, drawn, cleared: () => select([]) });
const painter = new Painter(stage.map);
const panel = new Panel(find("panel"), find("messages"), addresses, known, JSON.parse(main.dataset.limits), {
  acted, cleared: () => { select([]); stage.map.focus(); }, counts: countsOfTasks, shown,
});

// -- what is painted

function painted() {
  if (points === null || look === null) return;
  palette ??= paletteOf(main);
  const begun = performance.now();
  look.levels = legend.levels;
  look.selected = selected;
  painter.paint(points, view, look, palette);
  performance.measure("map:paint", { start: begun });
}

function pick(x, y, reach) {
  if (points === null || look === null) return -1;
  grid ??= new Grid(points.xy);
  const levels = legend.levels;
  const begun = performance.now();
  const row = grid.nearest(x, y, reach, (one) => levels[look.entryOf[look.codes[one]]] !== HIDDEN);
  performance.measure("map:hover", { start: begun });
  return row;
}

function hovered(row, px, py) {
  card.show(row < 0 ? null : points.ids[row], px, py);
}

// Another channel, or other bytes of it.
async function recolor(fresh = true) {
  const name = color.value;
  await readColumn(addresses, points, name);
  if (name !== color.value) return;
  const codes = points.column(name);
  const { entries, entryOf } = entriesOf(points.facts.columns[name]);
  look = { entries, entryOf, codes, marked: marks() };
  legend.show(entries, countsOf(entries, entryOf, codes), palette, fresh);
  find("about").textContent = points.facts.columns[name].about ?? "";
  stage.repaint();
}

function marks() {
  const names = points.facts.columns[SOLE]?.names ?? [];
  const rows = (name) => rowsWhere((code) => names[code] === name, points.column(SOLE));
  const marked = { first: rows(FIRST), out: rows(OUT) };
  find("key-first").hidden = marked.first.length === 0;
  find("key-out").hidden = marked.out.length === 0;
  return marked;
}

function rowsWhere(wanted, codes = look.codes) {
  const byCode = Uint8Array.from({ length: 256 }, (_, code) => Number(wanted(code)));
  const rows = [];
  for (let row = 0; row < codes.length; row += 1) if (byCode[codes[row]]) rows.push(row);
  return rows;
}

// -- what is selected

function select(rows) {
  const begun = performance.now();
  chosen = points === null ? [] : points.tasksOf(rows);
  panel.select(chosen);
  performance.measure("map:select", { start: begun });
}

// What the panel lists stands out. One image alone gets a ring too: among a million it would not be found.
function shown(tasks) {
  listed = tasks;
  selected = null;
  if (points === null) return;
  const rows = points.rowsOf(tasks);
  if (rows.length) {
    selected = new Uint8Array(points.count);
    for (const row of rows) selected[row] = 1;
  }
  stage.ring(rows.length === 1 ? [points.xy[2 * rows[0]], points.xy[2 * rows[0] + 1]] : null);
  stage.repaint();
}

function selectEntry(entry) {
  select(rowsWhere((code) => look.entryOf[code] === entry));
}

function drawn(polygon, add) {
  if (points === null) return;
  const begun = performance.now();
  const levels = legend.levels;
  let rows = rowsInside(points.xy, polygon);
  if (levels.includes(HIDDEN)) rows = rows.filter((row) => levels[look.entryOf[look.codes[row]]] !== HIDDEN);
  performance.measure("map:lasso", { start: begun });
  select(add ? together(rows) : rows);
}

function picked(row, add) {
  if (row >= 0) select(add ? together([row]) : [row]);
  else if (!add && points !== null) select([]);
}

function together(rows) {
  return [...new Set([...points.rowsOf(chosen), ...rows])].sort((a, b) => a - b);
}

function countsOfTasks(tasks) {
  if (points === null) return [];
  const rows = points.rowsOf(tasks);
  const found = [];
  for (const channel of [SOLE, "label", "prediction"]) {
    const codes = points.column(channel);
    const { names } = points.facts.columns[channel] ?? {};
    if (!codes || !names) continue;
    const counts = new Uint32Array(256);
    for (let at = 0; at < rows.length; at += 1) counts[codes[rows[at]]] += 1;
    const title = channel === SOLE ? "" : `${channel} `;
    const there = [...names.keys()].filter((code) => names[code] && counts[code]);
    found.push(...there.sort((a, b) => counts[b] - counts[a]).map((code) => [title + names[code], counts[code]]));
  }
  return found;
}

// Pins and what is left out are seen at once; the map that a worker makes then says the same. Returns the way back.
function acted(kind, tasks) {
  const { names } = points.facts.columns[SOLE];
  const code = names.indexOf(kind === "pin" ? FIRST : OUT);
  const before = new Map();
  const mark = (codeOf) => {
    const codes = points.column(SOLE); // of the map that is there by then
    for (const row of points.rowsOf(tasks)) codes[row] = codeOf(points.ids[row], codes[row]);
    known.forget();
    recolor(false);
  };
  const free = ["unlabeled", FIRST, OUT].map((name) => names.indexOf(name)); // what is labeled stays labeled
  if (code >= 0) mark((task, was) => (before.set(task, was), free.includes(was) ? code : was));
  return () => mark((task, was) => before.get(task) ?? was);
}

// -- keeping up

// One look after the other: a page that is told twice at once must not go back to the map before.
function update() {
  clearTimeout(timer);
  updating = updating.then(lookAgain);
  return updating;
}

async function lookAgain() {
  let wait = 0;
  try {
    const told = await factsOf(addresses);
    say(told);
    if (told.facts !== null && told.facts.revision !== points?.facts.revision) await take(told.facts);
    if (told.facts === null || told.waiting) wait = SOON;
    else if (told.facts.laying_out) wait = LATER;
  } catch (error) {
    find("told").textContent = error.message;
    wait = LATER;
  }
  clearTimeout(timer);
  if (wait) timer = setTimeout(update, wait);
}

function say({ facts, told, missing }) {
  find("empty").hidden = facts !== null;
  find("empty").textContent = facts === null ? told : "";
  const parts = facts === null ? [] : [`${number.format(facts.count)} image${facts.count === 1 ? "" : "s"}`];
  if (facts !== null && missing) parts.push(missing);
  if (facts !== null && told) parts.push(told);
  find("told").textContent = parts.join("; ");
}

async function take(facts) {
  const before = points;
  offer(facts.columns);
  const read = await readMap(addresses, facts, [...new Set([SOLE, color.value, "label", "prediction"])]);
  const target = read.xy;
  const glides = before !== null && read.count <= GLIDING && read.sameImages(before) && !reduced();
  const moved = before === null || before.count !== read.count || target.some((value, at) => value !== before.xy[at]);
  points = read;
  known.forget();
  shown(listed);
  view.setBounds(read.bounds);
  if (moved) grid = null;
  await recolor(before === null || !(color.value in before.facts.columns));
  if (before === null) searchAsked();
  main.dataset.ready = facts.revision;
  if (glides && moved) glide(read, before.xy, target);
}

// A better layout replaces the one before: each image is seen to go where it belongs.
function glide(read, from, target) {
  const begun = performance.now();
  const step = () => {
    if (points !== read) return;
    const share = Math.min((performance.now() - begun) / GLIDE, 1);
    read.xy = share === 1 ? target : from.map((value, at) => value + share * (target[at] - value));
    grid = null;
    stage.repaint();
    if (share < 1) requestAnimationFrame(step);
    else shown(listed);
  };
  step();
}

const reduced = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

// Channels that this map has.
function offer(columns) {
  for (const option of color.options) option.hidden = option.disabled = !(option.value in columns);
  if (!(color.value in columns)) color.value = SOLE;
}

function search(task) {
  const row = points === null ? -1 : points.rowOf(task);
  find("found").textContent = row < 0 ? `task ${task} is not on the map` : "";
  if (row < 0) return;
  view.center(points.xy[2 * row], points.xy[2 * row + 1], 4);
  select([row]);
}

// The task that the page's address names, of a link from elsewhere.
function searchAsked() {
  const asked = new URL(location.href).searchParams.get("task");
  if (asked && /^\d{1,15}$/.test(asked)) search(Number(asked));
}

find("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const typed = event.target.elements.task.value.trim();
  if (/^\d{1,15}$/.test(typed)) search(Number(typed));
  else find("found").textContent = `“${typed}” is no task's number`;
});
color.addEventListener("change", () => points !== null && recolor().catch(update));
for (const radio of document.querySelectorAll('input[name="tool"]')) {
  radio.addEventListener("change", () => {
    stage.tool = radio.value;
    stage.map.dataset.tool = radio.value;
  });
  if (radio.checked) stage.map.dataset.tool = stage.tool = radio.value;
}
find("in").addEventListener("click", () => stage.zoom(1));
find("out").addEventListener("click", () => stage.zoom(-1));
find("whole").addEventListener("click", () => stage.whole());
find("all").addEventListener("click", () => legend.showAll(true));
find("none").addEventListener("click", () => legend.showAll(false));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  palette = paletteOf(main);
  if (points !== null) recolor(false);
});
document.addEventListener("refreshed", update);

update();
