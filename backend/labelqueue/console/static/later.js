// Parts of a page that come later: what a worker has to find out first, and blocks that take a while to make.

import { answerOf, localTimes } from "./console.js";

for (const block of document.querySelectorAll("[data-answer]")) {
  answerOf(block.dataset.answer).then(
    () => location.reload(),
    (error) => say(block, `There is no answer: ${error.message}`),
  );
}

for (const block of document.querySelectorAll("[data-load]")) {
  load(block).catch((error) => say(block, `This could not be looked at: ${error.message}`));
}

async function load(block) {
  const answer = await fetch(block.dataset.load, { headers: { Accept: "text/html" } });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const found = page.getElementById(block.dataset.block);
  if (found === null) throw new Error(page.querySelector('[role="alert"]')?.textContent ?? answer.statusText);
  localTimes(found);
  block.replaceChildren(...found.childNodes);
}

function say(block, told) {
  const place = block.querySelector("[data-told]");
  if (place !== null) place.textContent = told;
}
