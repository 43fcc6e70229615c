// What every page does: times in the reader's zone, thumbnails that come later, and blocks that stay up to date.

const POLL = 4000; // ms between two looks whether the page is still up to date
const TRIES = 8; // of a thumbnail that a worker still has to cut

const zone = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export function localTimes(root = document) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    if (Number.isNaN(moment.valueOf())) continue;
    time.title = time.dateTime;
    time.textContent = zone.format(moment);
  }
}

// A worker cuts what is missing: ask again, each time a little later; the text in its place says which task it is.
function again(event) {
  const image = event.target;
  if (!(image instanceof HTMLImageElement) || !image.classList.contains("thumb")) return;
  const tried = Number(image.dataset.tried ?? 0) + 1;
  if (tried > TRIES) return;
  image.dataset.tried = String(tried);
  setTimeout(() => {
    const address = new URL(image.src);
    address.searchParams.set("again", String(tried));
    image.src = address.href;
  }, 400 * tried);
}
document.addEventListener("error", again, true);

export async function call(address, body) {
  const answer = await fetch(address, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Labelqueue-Token": document.body.dataset.token },
    body: JSON.stringify(body),
  });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.error ?? answer.statusText);
  return told;
}

// A question that a worker answers: asked again until the answer is there.
export async function answerOf(address, { body = null, wait = 500, tries = 120 } = {}) {
  for (let tried = 0; tried < tries; tried += 1) {
    const told = body === null ? await got(address) : await call(address, body);
    if (!told.waiting) return told;
    await new Promise((done) => setTimeout(done, wait));
  }
  throw new Error("nobody answered: does an embedding worker run?");
}

async function got(address) {
  const answer = await fetch(address, { headers: { Accept: "application/json" } });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.error ?? answer.statusText);
  return told;
}

// Blocks with `data-live` and an id are taken from a fresh copy of the page, unless somebody is busy inside.
async function refresh() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) return false;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const block of document.querySelectorAll("[data-live][id]")) {
    const other = fresh.getElementById(block.id);
    if (other === null || block.contains(document.activeElement)) continue;
    localTimes(other);
    for (const open of block.querySelectorAll("details[open][id]")) {
      other.querySelector(`#${CSS.escape(open.id)}`)?.setAttribute("open", "");
    }
    if (block.innerHTML === other.innerHTML) continue;
    block.replaceChildren(...other.childNodes);
  }
  document.body.dataset.token = fresh.body.dataset.token;
  document.dispatchEvent(new CustomEvent("refreshed"));
  return true;
}

function watch() {
  const { revisionAt } = document.body.dataset;
  if (!revisionAt) return;
  let known = document.body.dataset.revision;
  setInterval(async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch(revisionAt);
      if (!answer.ok) return;
      const { revision } = await answer.json();
      if (revision === known) return;
      if (await refresh()) known = revision;
    } catch {
      // The process is away for a moment; the next look may find it.
    }
  }, POLL);
}

// Opened by an address that holds a password, a page may fetch nothing; the browser knows the password by now.
if (new URL(document.baseURI).username) location.replace(location.href);

localTimes();
watch();
