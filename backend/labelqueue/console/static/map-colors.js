// What a channel's bytes stand for: the entries of the legend, each with a name, a color and a shape.

import { shapes } from "./map-shapes.js";

const NONE = 255; // a byte that says nothing
const STEPS = 6; // of a scale

const exact = new Intl.NumberFormat("en"), rough = new Intl.NumberFormat("en", { maximumSignificantDigits: 2 });

// Entries of a channel as the facts describe it, and which of them each byte belongs to.
export function entriesOf(spec) {
  const entries = spec.kind === "scale" ? steps(spec) : spec.names.map((one, code) => category(one, code));
  const entryOf = new Uint8Array(256).fill(entries.length);
  if (spec.kind === "scale") for (let code = 0; code < NONE; code += 1) entryOf[code] = stepOf(code);
  else entries.forEach((_, code) => (entryOf[code] = code));
  entries.push({ name: "no value", plain: true, color: 0, shape: 0 });
  return { entries, entryOf };
}

function category(name, code) {
  // The first of each channel is what most images are: unlabeled, without a label, in no order.
  if (code === 0) return { name: name || "none", plain: true, color: 0, shape: 0 };
  const at = code - 1;
  return { name, plain: false, color: at % 6, shape: (at + Math.floor(at / 6)) % shapes };
}

const stepOf = (code) => Math.min(STEPS - 1, Math.floor((code * STEPS) / NONE));

function steps(spec) {
  const first = Array.from({ length: STEPS }, (_, step) => Math.ceil((step * NONE) / STEPS));
  const whole = spec.log || spec.high - spec.low >= STEPS; // places and the like: nothing is between them
  return first.map((code, step) => {
    let low = valueOf(spec, code), high = step === STEPS - 1 ? spec.high : valueOf(spec, first[step + 1]);
    if (whole) [low, high] = [firstOf(spec, code), step === STEPS - 1 ? high : firstOf(spec, first[step + 1]) - 1];
    const say = (whole ? exact : rough).format;
    return { name: high > low ? `${say(low)} to ${say(high)}` : say(low), scale: true, color: step, shape: step };
  });
}

// The least whole number that is rounded to a byte.
const firstOf = (spec, code) => Math.max(Math.ceil(valueOf(spec, code - 0.5)), spec.low);

// The value that a byte of a scale stands for.
function valueOf(spec, code) {
  const share = code / (NONE - 1);
  if (spec.log) return spec.low * (spec.high / spec.low) ** share;
  return spec.low + share * (spec.high - spec.low);
}

// Colors of the present theme, as an ImageData holds them: bytes of red, green, blue, opacity.
export function paletteOf(element) {
  const style = getComputedStyle(element);
  const read = (name) => packed(style.getPropertyValue(name).trim());
  const six = (start) => [1, 2, 3, 4, 5, 6].map((at) => read(`--${start}${at}`));
  const [plain, ink, mark] = ["--map-plain", "--text", "--map-mark"].map(read);
  return { plain, ink, mark, category: six("c"), scale: six("map-step") };
}

function packed(color) {
  const value = Number.parseInt(color.slice(1), 16);
  return ((255 << 24) | ((value & 0xff) << 16) | (value & 0xff00) | (value >> 16)) >>> 0;
}

export function colorOf(entry, palette) {
  if (entry.plain) return palette.plain;
  return (entry.scale ? palette.scale : palette.category)[entry.color];
}
