"""The page of suspicions in a real browser."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import opened
from tests.trainer.label_errors.made import made_page, made_record

SUSPECTS = (("cat/0.png", "cat", "dog"), ('owl/a, "b".png', "owl", "cat"), ("dog/1.png", "dog", "owl"))


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("labels") / "suspects.html"
    file.write_text(made_page(made_record(*SUSPECTS)))
    return file


@pytest.fixture
def tab(browser: Browser, page_file: Path) -> Iterator[Page]:
    with opened(browser, page_file) as tab:
        yield tab.page
        assert tab.complaints == []


def downloaded(tab: Page, folder: Path) -> list[dict[str, str]]:
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Download corrections.csv").click()
    assert download.value.suggested_filename == "corrections.csv"
    download.value.save_as(folder / "corrections.csv")
    with (folder / "corrections.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_everybody_can_read_it(browser: Browser, page_file: Path) -> None:
    with opened(browser, page_file) as tab:
        for look in tab.looks():
            tab.page.get_by_label("it is dog").check()
            assert tab.violations() == [], look
            assert not tab.scrolls_sideways(), look
            assert tab.broken_images() == [], look
            assert tab.complaints == [], look


def test_what_is_chosen_is_downloaded_and_no_more(tab: Page, tmp_path: Path) -> None:
    button = tab.get_by_role("button", name="Download corrections.csv")
    expect(button).to_be_disabled()
    first, second, _ = tab.get_by_role("group").all()
    first.get_by_label("it is dog").check()
    second.get_by_label("leave the image out").check()
    expect(tab.get_by_text("2 of 3 decided")).to_be_visible()
    rows = downloaded(tab, tmp_path)
    assert [list(row.values()) for row in rows] == [
        ["cat/0.png", "dog", "relabel", "cat", "0.9877", "1"],
        ['owl/a, "b".png', "owl", "leave out", "owl", "0.9877", "2"],
    ]


def test_it_is_gone_through_by_keyboard(tab: Page, tmp_path: Path) -> None:
    keyboard = tab.keyboard
    tab.get_by_role("group").first.get_by_role("radio").first.focus()
    for key in ("2", "3", *"owl", "Enter", "1"):
        keyboard.press(key)
    expect(tab.get_by_role("button", name="Download corrections.csv")).to_be_focused()
    rows = downloaded(tab, tmp_path)
    assert [(row["label"], row["decision"]) for row in rows] == [
        ("dog", "relabel"),
        ("owl", "relabel"),
        ("dog", "keep"),
    ]


def test_label_that_is_none_of_the_data_s_is_not_downloaded(tab: Page) -> None:
    tab.get_by_label("Another label of image 2").fill("cow")
    tab.get_by_role("button", name="Download corrections.csv").click()
    text = tab.get_by_label("Another label of image 2")
    expect(text).to_be_focused()
    assert text.evaluate("e => e.validationMessage") == "This should be one of the labels of these images."


def test_without_scripts_it_says_what_to_do(browser: Browser, page_file: Path) -> None:
    with opened(browser, page_file, scripts=False) as tab:
        expect(tab.page.get_by_text("edit the corrections.csv beside this page")).to_be_visible()
