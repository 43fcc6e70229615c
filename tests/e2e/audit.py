"""What a page must not do in a browser: break the policy, fail in a script, ask for what is not there, be hard to use
without eyes, color or a wide screen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Locator, Page

WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective}: ${event.blockedURI}`));
"""
SEVERE = ("serious", "critical")
SIZES = ((1280, 720), (768, 1024))


@contextmanager
def watched(context: BrowserContext, *meant: str) -> Iterator[Page]:
    """Open a page of which nothing may go wrong until it is closed; `audit` looks at what the policy forbade.

    Parameters
    ----------
    context : BrowserContext
    *meant : str
        Answers that are no mistakes: status and address, such as ``400 http://localhost/console/1/settings``.
    """
    page, wrong = context.new_page(), list[str]()
    page.add_init_script(WATCH)
    page.on("pageerror", lambda error: wrong.append(f"script: {error}"))
    page.on("console", lambda said: _of_answer(said) or wrong.append(f"console: {said.text}"))
    page.on("response", lambda answer: answer.status < 400 or wrong.append(f"{answer.status} {answer.url}"))
    page.on("requestfailed", lambda call: _left(call) or wrong.append(f"{call.failure} {call.url}"))
    try:
        yield page
        assert [one for one in wrong if one not in meant] == []
    except Exception:
        print(page.url, wrong, page.inner_text("main")[:3000], sep="\n")
        raise
    finally:
        page.close()


def _of_answer(said: Any) -> bool:
    """Tell whether a message is no error, or only repeats what an answer said."""
    return said.type != "error" or said.text.startswith("Failed to load resource")


def _left(call: Any) -> bool:
    """Tell whether a call was given up because its page was left."""
    return call.failure == "net::ERR_ABORTED"


def audit(page: Page, *, schemes: tuple[str, ...] = ("light", "dark")) -> None:
    """Look at a page as it stands: nothing that the policy forbids, nothing cut off, nothing that axe calls serious."""
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        found = Axe().run(page, options={"resultTypes": ["violations"]}).response
        assert found["passes"], "it looked at something"
        severe = [
            f"{scheme}: {one['id']} {node['target']} {node['failureSummary']}"
            for one in found["violations"]
            if one["impact"] in SEVERE
            for node in one["nodes"]
        ]
        assert severe == []
    page.emulate_media(color_scheme="light")
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{page.url} is wider than {width}"
    page.set_viewport_size({"width": SIZES[0][0], "height": SIZES[0][1]})
    assert page.evaluate("window.violations") == []


def press(place: Locator, key: str = "Enter") -> None:
    """Use a control as somebody does who has no mouse."""
    place.focus()
    place.press(key)
