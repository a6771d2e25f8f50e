"""The page that this program serves, in a real browser."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from fovea.model.bundle import ModelBundle
from tests.browser import opened
from tests.trainer.labelling.made import labelled
from tests.trainer.labelling.test_in_browser import EARLIER, GROUPS, ROWS, downloaded, labels_of, press
from trainer.labelling.page import Labelled, render_page
from trainer.labelling.saving import Saved, read_rows
from trainer.labelling.serving import listening

TOKEN = "t" * 32


@pytest.fixture(scope="module")
def content(tiny_models: Path) -> Labelled:
    return labelled(ROWS, ModelBundle.open(tiny_models / "1").contract, GROUPS, [EARLIER])


@contextmanager
def served(browser: Browser, content: Labelled, saved: Saved) -> Iterator[Page]:
    """A tab with the page that a program serves."""
    with listening(0, TOKEN, render_page(content, TOKEN).encode(), saved) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            with opened(browser, f"http://127.0.0.1:{server.port}/?token={TOKEN}") as tab:
                yield tab.page
        finally:
            server.shutdown()
            thread.join()


def test_answers_given_one_by_one_or_in_another_tab_are_not_written_over(
    browser: Browser, content: Labelled, tmp_path: Path
) -> None:
    saved = Saved(tmp_path, [], ROWS)
    with served(browser, content, saved) as tab:
        expect(tab.get_by_role("heading", name="Image 1")).to_be_visible()
        press(tab, "3", "g", "1", "2")
        expect(tab.locator("#saved")).to_have_text("saved in corrections.csv")
        expect(tab.locator("#ended")).to_have_text("All is saved.")
        tab.reload()
        expect(tab.get_by_role("heading", name="Image 5")).to_be_visible()
        expect(tab.locator("#done")).to_have_text("3 of 6 labelled")
        press(tab, "z")
        expect(tab.locator("#why")).to_contain_text("green, of image 4, is taken back.")
        press(tab, "3", "3")
        expect(tab.locator("#done")).to_have_text("4 of 6 labelled")
        expect(tab.locator("#ended")).to_have_text("All is saved.")
        saved.change({ROWS[2].sha256: "green"})
        tab.evaluate("void dispatchEvent(new Event('focus'))")
        expect(tab.get_by_role("heading", name="Image 6")).to_be_visible()
        press(tab, "0")
        expect(tab.locator("#ended")).to_have_text("All is saved.")
        assert [row[1] for row in read_rows(tmp_path)] == ["blue", "red", "green", "blue", "blue", ""]


def test_an_answer_that_is_refused_is_named_and_the_others_are_saved(
    browser: Browser, content: Labelled, tmp_path: Path
) -> None:
    with served(browser, content, Saved(tmp_path, [], ROWS)) as tab:
        expect(tab.get_by_role("heading", name="Image 1")).to_be_visible()
        tab.evaluate("window.sends = fetch; void (window.fetch = async () => { throw new TypeError(); })")
        press(tab, "1", "/")
        tab.get_by_role("combobox").evaluate("input => { input.value = '\\ud800'; }")
        tab.get_by_role("combobox").dispatch_event("input")
        press(tab, "Enter", "3", "0")
        expect(tab.locator("#saved")).to_contain_text("6 not saved")
        expect(tab.locator("#ended")).to_contain_text("6 answers are not saved")
        tab.evaluate("void (window.fetch = sends)")
        expect(tab.locator("#saved")).to_contain_text("Not taken: image 2", timeout=10_000)
        expect(tab.locator("#ended")).to_contain_text("3 answers are not saved")
        assert [row[1] for row in read_rows(tmp_path)] == ["red", "blue", ""]
        press(tab, "ArrowLeft", "ArrowLeft", "ArrowLeft", "1")
        expect(tab.locator("#saved")).to_have_text("saved in corrections.csv")
        expect(tab.locator("#ended")).to_have_text("All is saved.")
        assert [row[1] for row in read_rows(tmp_path)] == ["red", "red", "blue", "red", "red", ""]


def test_served_page_saves_each_answer_and_says_what_it_cannot(
    browser: Browser, content: Labelled, tmp_path: Path
) -> None:
    saved = Saved(tmp_path, [EARLIER], ROWS)
    file = tmp_path / "corrections.csv"
    with listening(0, TOKEN, render_page(content, TOKEN).encode(), saved) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.port}/"
        with opened(browser, address) as refused:
            expect(refused.page.get_by_text("open the address that the program said")).to_be_visible()
        try:
            with opened(browser, f"{address}?token={TOKEN}") as tab:
                expect(tab.page.get_by_role("heading", name="Image 1")).to_be_visible()
                press(tab.page, "2", "1", "0")
                expect(tab.page.locator("#saved")).to_have_text("saved in corrections.csv")
                expect(tab.page.get_by_text("5 of 6 labelled")).to_be_visible()
                expect(tab.page.locator("#ended")).to_have_text("All is saved.")
                tab.page.reload()
                expect(tab.page.get_by_text("5 of 6 labelled")).to_be_visible()
                press(tab.page, "z")
                expect(tab.page.locator("#saved")).to_have_text("saved in corrections.csv")
                assert labels_of(file) == {0: "green", 1: "red", 3: "red", 4: "red"}
                press(tab.page, "Enter")
                expect(tab.page.locator("#saved")).to_have_text("saved in corrections.csv")
                (tmp_path / "again").mkdir()
                file.rename(tmp_path / "aside")
                file.mkdir()  # which no file can be put over
                press(tab.page, "3")
                expect(tab.page.locator("#saved")).to_contain_text("1 not saved")
                file.rmdir()
                press(tab.page, "ArrowLeft", "1")
                expect(tab.page.locator("#saved")).to_have_text("saved in corrections.csv")
                assert downloaded(tab.page, tmp_path / "again").read_bytes() == file.read_bytes()
        finally:
            server.shutdown()
            thread.join()
