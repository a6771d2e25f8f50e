"""The report in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import NARROW, WIDE, opened
from tests.trainer.report.made import ANSWERS, make_page

CONVOLUTIONS = "[data-convolution]"
"""A third of the page: whether all can read them is for the tests of the page of one image."""


@pytest.fixture(scope="module")
def open_page(browser: Browser, page_file: Path) -> Iterator[Page]:
    with opened(browser, page_file) as tab:
        yield tab.page


@pytest.fixture
def tab(open_page: Page, page_file: Path) -> Page:
    """The report, loaded anew."""
    open_page.goto("about:blank")  # else its last place in the page would be gone to
    open_page.goto(page_file.as_uri(), wait_until="load")
    return open_page


def test_report_opens_and_everybody_can_read_it(browser: Browser, page_file: Path) -> None:
    with opened(browser, page_file) as tab:
        for look in tab.looks():
            tab.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
            assert tab.violations(but=CONVOLUTIONS) == [], look
            assert not tab.scrolls_sideways(), look
            assert tab.broken_images() == [], look
            assert tab.complaints == [], look


def test_no_column_is_out_of_sight_in_a_wide_window(browser: Browser, trained: Path, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(make_page(trained, ("a" * 200, "dog", "owl"), ANSWERS))
    with opened(browser, file) as tab:
        hidden = tab.page.locator(".scroll").evaluate_all(
            "all => all.filter(e => e.scrollWidth > e.clientWidth).map(e => e.ariaLabel)"
        )
        assert hidden == []


def test_upright_names_stay_below_the_caption(
    browser: Browser, trained: Path, run_of_a_given_rate: Path, tmp_path: Path
) -> None:
    file = tmp_path / "report.html"
    file.write_text(make_page(trained, ("W" * 200, "dog", "owl"), ANSWERS, run=run_of_a_given_rate))
    with opened(browser, file) as tab:
        tops = tab.page.locator(".matrix thead th span").evaluate_all(
            "all => all.map(e => e.getBoundingClientRect().top)"
        )
        caption = tab.page.locator(".matrix caption").bounding_box()
        assert caption is not None
        assert min(tops) >= caption["y"] + caption["height"]
        label = tab.page.locator(".matrix thead bdi").first.evaluate(
            "e => [e.parentElement.scrollHeight, e.parentElement.clientHeight, "
            "getComputedStyle(e.parentElement).overflow]"
        )
        assert label[0] <= label[1] or label[2] == "hidden"


def test_report_of_a_whole_training_opens(browser: Browser, trained: Path) -> None:
    with opened(browser, trained / "runs" / "a" / "report.html") as tab:
        assert tab.violations() == []
        assert tab.broken_images() == []
        assert tab.page.locator("img").count() > 12
        assert tab.complaints == []


def test_a_click_on_a_cell_shows_its_images(tab: Page) -> None:
    tab.get_by_role("link", name="owl taken for cat: 1 image").click()
    cell = tab.locator(".cell:visible")
    expect(cell).to_have_count(1)
    expect(cell).to_contain_text("owl taken for cat: 1 image")
    image = cell.get_by_role("img", name="owl, taken for cat")
    expect(image).to_be_visible()
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 32


def test_cells_are_walked_and_chosen_by_keyboard(tab: Page) -> None:
    keyboard, cell = tab.keyboard, tab.locator(".cell:visible")
    tab.get_by_role("link", name="cat taken for dog: 2 images").focus()
    keyboard.press("ArrowDown")
    expect(tab.get_by_role("link", name="dog recognised: 10 images")).to_be_focused()
    keyboard.press("Space")
    expect(cell).to_contain_text("dog recognised: 10 images, 4 of them shown")
    keyboard.press("ArrowUp")
    keyboard.press("Enter")
    expect(cell).to_contain_text("cat taken for dog")
    assert tab.locator(".matrix a[tabindex='0']").count() == 1


def test_cells_show_their_images_without_scripts_too(browser: Browser, page_file: Path) -> None:
    with opened(browser, page_file, scripts=False) as tab:
        tab.page.get_by_role("link", name="owl taken for cat: 1 image").click()
        expect(tab.page.locator(".cell:visible")).to_contain_text("owl taken for cat")


def test_the_table_of_classes_is_sorted_by_its_headings(tab: Page) -> None:
    table = tab.locator("table.sortable")
    names = table.locator("tbody th")
    assert names.all_inner_texts() == ["cat", "owl", "dog"]
    expect(table.get_by_role("columnheader", name="Found")).to_have_attribute("aria-sort", "ascending")
    table.get_by_role("button", name="Found").click()
    assert names.all_inner_texts() == ["dog", "owl", "cat"]
    table.get_by_role("button", name="Class").focus()
    tab.keyboard.press("Enter")
    assert names.all_inner_texts() == ["cat", "dog", "owl"]
    expect(table.get_by_role("columnheader", name="Class")).to_have_attribute("aria-sort", "ascending")
    assert table.locator("[aria-sort]").count() == 1


def test_what_is_folded_away_is_printed(browser: Browser, page_file: Path) -> None:
    with opened(browser, page_file) as tab:
        tab.page.emulate_media(media="print")
        tab.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        expect(tab.page.get_by_text("Those of the model, also where they are the defaults")).to_be_visible()
        expect(tab.page.locator("nav")).to_be_hidden()
        tab.page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert tab.page.locator("details[open]").count() == 0


def test_a_class_named_as_a_script_does_not_run(browser: Browser, trained: Path, tmp_path: Path) -> None:
    hostile = "</script></style><script>document.title = 'taken'</script><img src=x onerror=alert(1)>"
    file = tmp_path / "report.html"
    file.write_text(
        make_page(trained, (hostile, "dog", "owl"), ANSWERS, name=hostile, file_name=hostile + "{}")
    )
    with opened(browser, file) as tab:
        assert tab.page.title() != "taken"
        assert tab.violations(but=CONVOLUTIONS) == []
        assert tab.complaints == []


def test_forty_classes_of_long_names_fit_the_window(browser: Browser, trained: Path, tmp_path: Path) -> None:
    labels = tuple(f"{'a rather long name of a class ' * 4}{number}" for number in range(40))
    answers = [(truth, said) for truth in range(40) for said in (truth, truth, (truth + 1) % 40)]
    file = tmp_path / "report.html"
    file.write_text(make_page(trained, labels, answers))
    for width in (WIDE, NARROW):
        with opened(browser, file, width=width) as tab:
            assert not tab.scrolls_sideways()
            assert tab.page.locator(".matrix a").count() == 80
            assert tab.complaints == []
