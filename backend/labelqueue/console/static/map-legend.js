// The legend: what each mark stands for and how many there are; looking at an entry shows where its images are.

import { colorOf } from "./map-colors.js";
import { FAINT, HIDDEN, PLAIN } from "./map-paint.js";
import { swatch } from "./map-shapes.js";

const number = new Intl.NumberFormat("en");

export class Legend {
  // `list`: where entries go; `changed`: called when another look is wanted; `picked`: with an entry to be selected.
  constructor(list, changed, picked) {
    Object.assign(this, { list, changed, picked, entries: [], hidden: new Set(), looked: -1 });
    const entryAt = ({ target }) => Number(target.closest("li")?.dataset.entry ?? -1);
    for (const kind of ["pointerover", "focusin"]) list.addEventListener(kind, (event) => this.look(entryAt(event)));
    for (const kind of ["pointerleave", "focusout"]) list.addEventListener(kind, () => this.look(-1));
    list.addEventListener("change", (event) => {
      const entry = entryAt(event);
      if (event.target.checked) this.hidden.delete(entry);
      else this.hidden.add(entry);
      changed();
    });
    list.addEventListener("click", (event) => {
      if (event.target.closest("button")) picked(entryAt(event));
    });
  }

  look(entry) {
    if (entry === this.looked) return;
    this.looked = entry;
    this.changed();
  }

  // How each entry is shown now.
  get levels() {
    return this.entries.map((_, at) => {
      if (this.hidden.has(at)) return HIDDEN;
      return this.looked < 0 || this.looked === at ? PLAIN : FAINT;
    });
  }

  showAll(shown) {
    this.hidden = new Set(shown ? [] : this.entries.keys());
    for (const box of this.list.querySelectorAll("input")) box.checked = shown;
    this.changed();
  }

  // Show the entries of a channel; `fresh` when it is another channel, of which nothing is hidden yet.
  show(entries, counts, palette, fresh) {
    const focused = this.list.contains(document.activeElement) ? document.activeElement.dataset.at : null;
    if (fresh) Object.assign(this, { hidden: new Set(), looked: -1 });
    else if (!entries[0].scale) this.carryOver(entries);
    this.entries = entries;
    const there = [...entries.keys()].filter((at) => counts[at] > 0);
    this.list.replaceChildren(...there.map((at) => this.row(entries[at], at, counts[at], palette)));
    if (focused) this.list.querySelector(`[data-at="${CSS.escape(focused)}"]`)?.focus();
  }

  // A new name may come between the others: what was hidden is known by its name.
  carryOver(entries) {
    const names = new Set([...this.hidden].map((at) => this.entries[at].name));
    this.hidden = new Set([...entries.keys()].filter((at) => names.has(entries[at].name)));
  }

  row(entry, at, count, palette) {
    const made = (tag, values) => Object.assign(document.createElement(tag), values);
    const row = made("li");
    row.dataset.entry = String(at);
    const label = made("label");
    const box = made("input", { type: "checkbox", checked: !this.hidden.has(at) });
    box.dataset.at = `box-${at}`;
    const mark = made("canvas");
    mark.setAttribute("aria-hidden", "true");
    swatch(mark, entry.shape, colorOf(entry, palette), devicePixelRatio);
    label.append(box, mark, made("span", { className: "name", textContent: entry.name, title: entry.name }));
    const button = made("button", { type: "button", textContent: number.format(count) });
    button.dataset.at = `button-${at}`;
    button.title = "Select these";
    button.setAttribute("aria-label", `${entry.name}: select ${number.format(count)}`);
    row.append(label, button);
    return row;
  }
}

export function countsOf(entries, entryOf, codes) {
  const perByte = new Uint32Array(256);
  for (let row = 0; row < codes.length; row += 1) perByte[codes[row]] += 1;
  const counts = entries.map(() => 0);
  perByte.forEach((count, code) => count && (counts[entryOf[code]] += count));
  return counts;
}
