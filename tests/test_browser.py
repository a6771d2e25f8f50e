"""The tests' browser sees what is wrong with a page: else no test of a page could fail."""

from pathlib import Path

from playwright.sync_api import Browser

from tests.browser import NARROW, opened

GOOD = "<!doctype html><html lang=en><title>Good</title><main><h1>Good</h1></main></html>"


def written(folder: Path, body: str) -> Path:
    page = folder / "page.html"
    page.write_text(f"<!doctype html><html><body>{body}</body></html>")
    return page


def test_a_good_page_gives_nothing_to_complain_of(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(GOOD)
    with opened(browser, tmp_path / "page.html") as tab:
        assert (tab.complaints, tab.violations(), tab.broken_images()) == ([], [], [])
        assert not tab.scrolls_sideways()


def test_errors_and_requests_of_a_page_are_noted(browser: Browser, tmp_path: Path) -> None:
    body = "<script>console.error('oh'); nothing.of.this()</script><img src='http://example.org/a.png'>"
    with opened(browser, written(tmp_path, body)) as tab:
        said = "\n".join(tab.complaints)
        assert "says oh" in said
        assert "raises" in said
        assert "asks for http://example.org/a.png" in said
        assert len(tab.broken_images()) == 1


def test_violations_of_accessibility_are_found(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, written(tmp_path, "<img src='data:image/gif;base64,'><button></button>")) as tab:
        assert {line.split()[0] for line in tab.violations()} >= {
            "image-alt",
            "button-name",
            "html-has-lang",
        }


def test_a_page_that_is_too_wide_is_seen(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, written(tmp_path, "<div style='width: 800px'>wide</div>"), width=NARROW) as tab:
        assert tab.scrolls_sideways()
