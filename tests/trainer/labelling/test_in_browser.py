"""The page in a real browser."""

import csv
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from fovea.model.bundle import ModelBundle
from tests.browser import opened
from tests.tiny import LABELS
from tests.trainer.labelling.made import answer, labelled, scene
from trainer.images.corrections import Correctable, match_rows, read_rows
from trainer.images.listing import Sample
from trainer.labelling.page import Labelled, render_page

ROWS = [answer(scene(seed), LABELS[seed % 3], margin=seed / 10) for seed in range(6)]
GROUPS = [[0], [1, 3, 4], [2], [5]]
EARLIER = (f"sha256/{'0' * 64}", 'a "b", c', "relabel", "red", "0.5000", "1")


@pytest.fixture(scope="module")
def content(tiny_models: Path) -> Labelled:
    return labelled(ROWS, ModelBundle.open(tiny_models / "1").contract, GROUPS, [EARLIER])


@pytest.fixture(scope="module")
def page_file(content: Labelled, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("label") / "label.html"
    file.write_text(render_page(content))
    return file


@pytest.fixture
def tab(browser: Browser, page_file: Path) -> Iterator[Page]:
    with opened(browser, page_file) as tab:
        yield tab.page
        assert tab.complaints == []


def press(tab: Page, *keys: str) -> None:
    for key in keys:
        tab.keyboard.press(key)


def downloaded(tab: Page, folder: Path) -> Path:
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Download corrections.csv").click()
    assert download.value.suggested_filename == "corrections.csv"
    download.value.save_as(folder / "corrections.csv")
    return folder / "corrections.csv"


def rows_of(file: Path) -> list[list[str]]:
    with file.open(newline="", encoding="utf-8") as opened_file:
        return list(csv.reader(opened_file))


def labels_of(file: Path) -> dict[int, str]:
    """Place -> label, of this page's images."""
    places = {f"sha256/{row.sha256}": place for place, row in enumerate(ROWS)}
    return {places[row[0]]: row[1] for row in rows_of(file)[1:] if row[0] in places}


@pytest.mark.slow
def test_everybody_can_read_it(browser: Browser, page_file: Path) -> None:
    with opened(browser, page_file) as tab:
        for look in tab.looks():
            press(tab.page, "1", "/", "b", "Enter", "s")
            tab.page.get_by_role("combobox").fill("r")
            assert tab.violations() == [], look
            assert not tab.scrolls_sideways(), look
            assert tab.broken_images() == [], look
            press(tab.page, "Escape", "z", "z", "z")
        assert tab.complaints == []


def test_it_is_gone_through_by_keys_and_what_it_saves_is_read_as_corrections(
    tab: Page, tmp_path: Path
) -> None:
    expect(tab.get_by_role("heading", name="Image 1")).to_be_visible()
    press(tab, "Enter")
    expect(tab.get_by_role("heading", name="3 images, nearly the same")).to_be_visible()
    expect(tab.locator("#pictures img")).to_have_count(3)
    press(tab, "3", "0", " ")
    expect(tab.get_by_role("heading", name="That was the last one")).to_be_visible()
    expect(tab.get_by_text("6 of 6 labelled")).to_be_visible()
    expect(tab.locator("#counts")).to_contain_text("blue 4")
    file = downloaded(tab, tmp_path)
    columns, earlier, *rows = rows_of(file)
    assert columns == ["path", "label", "decision", "was", "probability", "rank"]
    assert tuple(earlier) == EARLIER
    assert rows == [
        [f"sha256/{ROWS[0].sha256}", "red", "keep", "red", "0.5000", "1"],
        [f"sha256/{ROWS[1].sha256}", "blue", "relabel", "green", "0.5500", "2"],
        [f"sha256/{ROWS[2].sha256}", "", "leave out", "blue", "0.6000", "3"],
        [f"sha256/{ROWS[3].sha256}", "blue", "relabel", "red", "0.6500", "4"],
        [f"sha256/{ROWS[4].sha256}", "blue", "relabel", "green", "0.7000", "5"],
        [f"sha256/{ROWS[5].sha256}", "blue", "keep", "blue", "0.7500", "6"],
    ]
    captured = [Sample(Path(row.sha256), "", f"sha256/{row.sha256}") for row in ROWS]
    read = match_rows([str(file)], read_rows([str(file)]), "photos", Correctable([], captured), LABELS)
    assert [sample.label for sample in read.labelled(captured)] == ["red", *["blue"] * 4]
    assert read.absent == 1


def test_undo_takes_back_one_step_after_the_other_and_skipped_ones_come_again(tab: Page) -> None:
    done = tab.locator("#done")
    press(tab, "2", "1", "s", "s")
    expect(done).to_have_text("4 of 6 labelled, 2 skipped")
    tab.get_by_role("button", name="Go through the skipped ones").click()
    expect(tab.get_by_role("heading", name="Image 3")).to_be_visible()
    expect(done).to_have_text("4 of 6 labelled")
    press(tab, "z", "ArrowLeft", "1")
    expect(done).to_have_text("5 of 6 labelled, 1 skipped")
    press(tab, "z", "Backspace", "z")
    expect(done).to_have_text("4 of 6 labelled")
    tab.get_by_role("button", name="undo").click()
    expect(tab.get_by_role("heading", name="3 images, nearly the same")).to_be_visible()
    expect(done).to_have_text("1 of 6 labelled")
    press(tab, "Control+z", "z")
    expect(done).to_have_text("0 of 6 labelled")
    expect(tab.get_by_role("heading", name="Image 1")).to_be_visible()


def test_a_group_is_opened_and_gone_through_one_by_one(tab: Page, tmp_path: Path) -> None:
    press(tab, "s", "g")
    expect(tab.get_by_role("heading", name="Image 2")).to_be_visible()
    press(tab, "1", "2", "3")
    assert labels_of(downloaded(tab, tmp_path)) == {1: "red", 3: "green", 4: "blue"}
    press(tab, "z", "z", "z", "z")
    expect(tab.get_by_role("heading", name="3 images, nearly the same")).to_be_visible()


def test_a_page_that_is_loaded_again_has_lost_nothing(tab: Page, tmp_path: Path) -> None:
    press(tab, "2", "g", "3", "s")
    tab.reload()
    expect(tab.get_by_text("2 of 6 labelled, 1 skipped")).to_be_visible()
    expect(tab.get_by_role("heading", name="Image 5")).to_be_visible()
    press(tab, "z", "z", "1")
    assert labels_of(downloaded(tab, tmp_path)) == {0: "green", 1: "red"}


def test_a_page_that_is_made_anew_and_a_second_tab_have_the_answers_too(
    tab: Page, page_file: Path, content: Labelled
) -> None:
    press(tab, "2", "3", "1")
    try:
        two = (2, 5)
        images = [content.images[place] for place in two]
        page_file.write_text(render_page(dataclasses.replace(content, images=images, groups=[[0], [1]])))
        other = tab.context.new_page()
        other.goto(page_file.as_uri())
        expect(other.locator("#done")).to_have_text("1 of 2 labelled")
        press(other, "0")
        expect(tab.locator("#done")).to_have_text("6 of 6 labelled")
        press(tab, "z", "z", "z")
        expect(other.locator("#done")).to_have_text("0 of 2 labelled")
        expect(tab.locator("#done")).to_have_text("1 of 6 labelled")
    finally:
        page_file.write_text(render_page(content))


def test_a_new_class_is_typed_is_listed_and_has_a_number_from_then_on(tab: Page, tmp_path: Path) -> None:
    press(tab, "/")
    tab.keyboard.type('Teal, "dark"')
    expect(tab.get_by_role("option")).to_have_text(['new class: Teal, "dark"'])
    press(tab, "Enter")
    expect(tab.locator("#classes button")).to_have_text(["1red", "2greenEnter", "3blue", '4Teal, "dark"'])
    press(tab, "4", "/")
    tab.keyboard.type("r")
    expect(tab.get_by_role("option")).to_have_text(["red", "green", 'Teal, "dark"', "new class: r"])
    press(tab, "ArrowDown", "Enter", "/")
    tab.keyboard.type("GREEN ")
    expect(tab.get_by_role("option")).to_have_text(["green"])
    press(tab, "Escape")
    expect(tab.get_by_role("combobox")).not_to_be_focused()
    labels = labels_of(downloaded(tab, tmp_path))
    assert labels == {0: 'Teal, "dark"', 1: 'Teal, "dark"', 3: 'Teal, "dark"', 4: 'Teal, "dark"', 2: "green"}


def test_a_new_class_keeps_its_number_whatever_is_answered_anew_or_taken_back(tab: Page) -> None:
    for name in ("teal", "puce"):
        press(tab, "/")
        tab.keyboard.type(name)
        press(tab, "Enter")
    press(tab, "ArrowLeft", "ArrowLeft", "5")
    expect(tab.locator("#classes button").nth(3)).to_have_text("4teal")
    press(tab, "ArrowLeft", "1", "z", "z")
    expect(tab.locator("#classes button")).to_have_text(["1redEnter", "2green", "3blue", "4teal", "5puce"])
    press(tab, "z")
    expect(tab.locator("#classes button")).to_have_text(["1red", "2greenEnter", "3blue", "4teal"])


def test_the_mouse_does_what_the_keys_do_and_a_key_goes_to_the_image_after_a_click(tab: Page) -> None:
    tab.get_by_role("button", name="blue").click()
    expect(tab.get_by_role("heading", name="3 images, nearly the same")).to_be_visible()
    press(tab, "Enter")
    expect(tab.locator("#counts")).to_contain_text("green 3")
    tab.get_by_role("button", name="none of these").first.click()
    tab.get_by_role("button", name="Image 2 and 2 more, green").click()
    expect(tab.get_by_text("You said: green.")).to_be_visible()
    press(tab, "1")
    expect(tab.locator("#counts")).to_contain_text("red 3")
    tab.get_by_role("checkbox", name="keys").uncheck()
    press(tab, "1")
    expect(tab.get_by_text("5 of 6 labelled")).to_be_visible()


def test_of_many_classes_the_keys_are_for_what_the_model_thinks_of(
    browser: Browser, content: Labelled, tmp_path: Path
) -> None:
    labels = tuple(f"class {number}" for number in range(40))
    contract = content.contract.model_copy(update={"labels": (*labels, "blue", "</script>", "3 cats")})
    rows = [
        answer(
            scene(9), "blue", 0.1, top_labels=("blue", "class 7", "gone"), top_probabilities=(0.4, 0.3, 0.2)
        )
    ]
    (tmp_path / "many.html").write_text(render_page(labelled(rows * 2, contract)))
    with opened(browser, tmp_path / "many.html") as tab:
        buttons = tab.page.locator("#classes button")
        expect(buttons).to_have_count(9)
        expect(buttons.nth(0)).to_have_text("1blueEnter")
        expect(buttons.nth(1)).to_have_text("2class 7")
        press(tab.page, "/")
        tab.page.keyboard.type("3")
        expect(tab.page.get_by_role("option").first).to_have_text("3 cats")
        tab.page.get_by_role("combobox").fill("")
        tab.page.keyboard.type("</s")
        press(tab.page, "Enter")
        assert rows_of(downloaded(tab.page, tmp_path))[1][1] == "</script>"
        assert tab.complaints == []


def test_a_label_that_is_no_class_is_not_taken_by_enter_and_a_held_key_labels_once(
    browser: Browser, content: Labelled, tmp_path: Path
) -> None:
    contract = content.contract.model_copy(update={"labels": ("green", "blue")})
    (tmp_path / "renamed.html").write_text(render_page(labelled(ROWS, contract)))
    with opened(browser, tmp_path / "renamed.html") as tab:
        press(tab.page, "Enter")
        expect(tab.page.get_by_text("0 of 6 labelled")).to_be_visible()
        for _ in range(3):  # without a release, playwright's are repeated as a keyboard's are
            tab.page.keyboard.down("1")
        expect(tab.page.get_by_text("1 of 6 labelled")).to_be_visible()


def test_it_says_when_the_browser_keeps_nothing_and_takes_no_steps_that_are_none(
    browser: Browser, page_file: Path
) -> None:
    with opened(browser, page_file) as tab:
        press(tab.page, "1")
        name = tab.page.evaluate("Object.keys(localStorage).find(name => name.startsWith('fovea label'))")
        digest = ROWS[0].sha256
        for steps in (
            f'{{"steps": [["label", ["{digest}"], "red"], ["label", ["{digest}"], 5]]}}',
            "no JSON",
        ):
            tab.page.evaluate("([name, steps]) => localStorage.setItem(name, steps)", [name, steps])
            tab.page.reload()
            expect(tab.page.get_by_role("heading", name="Image 1")).to_be_visible()
            expect(tab.page.get_by_text("0 of 6 labelled")).to_be_visible()
        tab.page.evaluate("void (Storage.prototype.setItem = () => { throw new Error(); })")
        press(tab.page, "1")
        expect(tab.page.get_by_text("This browser keeps nothing of this page")).to_be_visible()


def test_without_scripts_it_says_so(browser: Browser, page_file: Path) -> None:
    with opened(browser, page_file, scripts=False) as tab:
        expect(tab.page.get_by_text("Scripts are off")).to_be_visible()
