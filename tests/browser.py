"""A real headless Chromium for tests of pages: opens a file, notes what it complains of and asks for."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

if TYPE_CHECKING:  # loaded with a browser: every test loads this module, those for a machine without one too
    from playwright.sync_api import Browser, Page, Request

ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
WIDE, NARROW, HEIGHT = 1280, 390, 900
PATIENCE_MS = 20_000
LOUD = {"serious", "critical"}

Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = ("light", "dark")


@dataclass(frozen=True)
class OpenPage:
    """A page that is open; `complaints` are what its console says and what it asks of elsewhere."""

    page: "Page"
    complaints: list[str] = field(default_factory=list)

    def violations(self, but: str | None = None) -> list[str]:
        """What axe finds that is serious or critical: a line each, with the first element of it. It takes
        seconds for a thousand elements; what `but` selects it leaves out."""
        from axe_playwright_python.sync_playwright import Axe

        context = {"exclude": [[but]]} if but else None
        violations = Axe().run(self.page, context).response["violations"]
        return [
            f"{v['id']} ({v['impact']}): {v['help']}; {len(v['nodes'])} times, as in {v['nodes'][0]['html']}"
            for v in violations
            if v["impact"] in LOUD
        ]

    def looks(self) -> Iterator[str]:
        """The page loaded anew in each theme, wide and narrow; in words, which."""
        for theme, width in product(THEMES, (WIDE, NARROW)):
            self.page.emulate_media(color_scheme=theme)
            self.page.set_viewport_size({"width": width, "height": HEIGHT})
            self.page.reload(wait_until="load")
            yield f"{theme} and {width} pixels wide"

    def scrolls_sideways(self) -> bool:
        """Whether the page as a whole is wider than its window."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > innerWidth"))

    def broken_images(self) -> list[str]:
        """Images that the browser cannot decode, the hidden ones among them."""
        script = """async () => {
            const images = [...document.images];
            images.forEach(image => { image.loading = "eager"; });
            await Promise.allSettled(images.map(image => image.decode()));
            return images.filter(image => !image.naturalWidth).map(image => image.alt);
        }"""
        return list(self.page.evaluate(script))


@pytest.fixture(scope="session")
def started_browser() -> "Iterator[tuple[Browser, asyncio.AbstractEventLoop]]":
    """One for all tests, and the loop that its calls run in, which is marked as running between them too.
    Skips where Chromium is missing, but not when CI=true."""
    program = shutil.which("chromium")
    if program is None:
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing("chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        loop = asyncio.get_running_loop()
        browser = playwright.chromium.launch(executable_path=program, args=[*ARGUMENTS])
        asyncio._set_running_loop(None)
        yield browser, loop
        asyncio._set_running_loop(loop)
        browser.close()


@pytest.fixture(scope="module")
def browser(started_browser: "tuple[Browser, asyncio.AbstractEventLoop]") -> "Iterator[Browser]":
    """Its loop is the running one within this module alone: asyncio cannot run beside it."""
    browser, loop = started_browser
    asyncio._set_running_loop(loop)
    try:
        yield browser
    finally:
        asyncio._set_running_loop(None)


@contextmanager
def opened(
    browser: "Browser",
    page: Path | str,
    *,
    theme: Theme = "light",
    width: int = WIDE,
    scripts: bool = True,
) -> Iterator[OpenPage]:
    """A file, or the root of a server, in a window of its own, `width` pixels wide, with its scripts or
    without. What a server's page asks of that server is no complaint."""
    own = page.as_uri() if isinstance(page, Path) else page
    context = browser.new_context(
        color_scheme=theme,
        viewport={"width": width, "height": HEIGHT},
        java_script_enabled=scripts,
        reduced_motion="reduce",
        offline=isinstance(page, Path),
    )
    context.set_default_timeout(PATIENCE_MS)
    try:
        tab = OpenPage(context.new_page())
        _listen(tab, (f"{own}#",) if isinstance(page, Path) else (own, f"blob:{own}"), own)
        tab.page.goto(own, wait_until="load")
        yield tab
    finally:
        context.close()


def _listen(tab: OpenPage, allowed: tuple[str, ...], own: str) -> None:
    def note_request(request: "Request") -> None:
        if not request.url.startswith(("data:", *allowed)) and request.url != own:
            tab.complaints.append(f"asks for {request.url}")

    tab.page.on("request", note_request)
    tab.page.on("pageerror", lambda error: tab.complaints.append(f"raises {error}"))
    tab.page.on(
        "console",
        lambda message: (
            tab.complaints.append(f"says {message.text}") if message.type in {"error", "warning"} else None
        ),
    )
