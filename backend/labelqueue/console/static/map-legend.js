// The legend: what each mark stands for and how many there are; looking at an entry shows where its images are.

import { colorOf } from "./map-colors.js";
import { FAINT, HIDDEN, PLAIN } from "./map-paint.js";
import { swatch } from "./map-shapes.js";

const number = new Intl.NumberFormat("en");

export class Legend {
  // `list`: where entries go; `changed`: called when another look is wanted; `picked`: with an entry to be selected.
  constructor(list, changed, picked) {
    Object.assign(this, { list, changed, picked, entries: [], hidden: new Set(), looked: -1 });
    for (const [kind, entry] of [["pointerover", true], ["focusin", true], ["pointerleave", false], ["focusout", false]]) {
      list.addEventListener(kind, (event) => this.look(entry ? Number(event.target.closest("li")?.dataset.entry ?? -1) : -1));
    }
    list.addEventListener("change", (event) => {
      const entry = Number(event.target.closest("li").dataset.entry);
      if (event.target.checked) this.hidden.delete(entry);
      else this.hidden.add(entry);
      changed();
    });
    list.addEventListener("click", (event) => {
      if (event.target.closest("button")) picked(Number(event.target.closest("li").dataset.entry));
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
    Object.assign(this, { entries, counts });
    this.list.replaceChildren(...entries.flatMap((entry, at) => (counts[at] ? [this.row(entry, at, counts[at], palette)] : [])));
    if (focused) this.list.querySelector(`[data-at="${CSS.escape(focused)}"]`)?.focus();
  }

  row(entry, at, count, palette) {
    const row = document.createElement("li");
    row.dataset.entry = String(at);
    const label = document.createElement("label");
    const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: !this.hidden.has(at) });
    box.dataset.at = `box-${at}`;
    const mark = document.createElement("canvas");
    mark.setAttribute("aria-hidden", "true");
    swatch(mark, entry.shape, colorOf(entry, palette), devicePixelRatio);
    const name = Object.assign(document.createElement("span"), { className: "name", textContent: entry.name, title: entry.name });
    label.append(box, mark, name);
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: number.format(count) });
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
