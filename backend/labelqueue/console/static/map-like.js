// The page "More like this" while a worker is still looking: asked again until the answer is there.

import { localTimes } from "./console.js";

const POLL = 700; // ms
const TRIES = 80;

async function again(tried) {
  const block = document.getElementById("map-like");
  if (!block.querySelector("[data-waiting]") || tried > TRIES) return;
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
  if (answer?.ok) {
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("map-like");
    localTimes(fresh);
    block.replaceChildren(...fresh.childNodes);
  }
  setTimeout(() => again(tried + 1), POLL);
}

setTimeout(() => again(1), POLL);
