"""What counts as an image by its name, and how what does not is counted."""

from fovea.images.names import LITTER, NO_ENDING, is_image_name, kind_of
from fovea.images.passed_over import OTHER, PassedOver


def test_an_image_is_known_by_its_ending_in_either_case() -> None:
    for key in ("a.jpg", "A.JPEG", "deep/er/b.Png", "two.dots.tif", "-.gif", "ünï.webp", "..a.b/c.bmp"[4:]):
        assert is_image_name(key), key
    for key in ("jpg", "a.jpg.txt", "a.jpg/readme", "a.", "cat.mov", "IMG_0001", "photo.JPG_original", ""):
        assert not is_image_name(key), key


def test_what_systems_leave_behind_is_no_image_whatever_its_ending() -> None:
    for key in (
        *("._cat.jpg", "cats/._cat.jpg", ".hidden.png", ".ipynb_checkpoints/cat.jpg", ".DS_Store"),
        *("__MACOSX/cats/cat.jpg", "cats/Thumbs.db", "THUMBS.DB", "desktop.ini", "Icon\r"),
        *("@eaDir/cat.jpg/SYNOPHOTO_THUMB_M.jpg", "lost+found/cat.jpg", "$RECYCLE.BIN/cat.jpg"),
    ):
        assert not is_image_name(key), key
        assert kind_of(key) == LITTER, key


def test_what_is_not_taken_is_counted_by_its_ending() -> None:
    kinds = {
        "IMG_1.MOV": ".mov",
        "a/b.AAE": ".aae",
        **dict.fromkeys(("README", "v1.2/README", "a.", "Dr. No and the rest", "a.jpg."), NO_ENDING),
    }
    assert {name: kind_of(name) for name in kinds} == kinds


def test_first_of_each_kind_are_named_and_all_are_counted() -> None:
    passed_over = PassedOver(most_named=2)
    for index in range(5):
        passed_over.add(f"{index}.mov", ".mov")
    passed_over.add("__MACOSX/", LITTER)
    passed_over.add("\x1b[31m.aae", ".aae")
    assert list(passed_over.record().items()) == [
        (".mov", {"files": 5, "names": ["0.mov", "1.mov"]}),
        (".aae", {"files": 1, "names": [r"\x1b[31m.aae"]}),
        (LITTER, {"files": 1, "names": ["__MACOSX/"]}),
    ]
    assert passed_over.files == 7
    assert passed_over.line() == rf"5 .mov (0.mov), 1 .aae (\x1b[31m.aae), 1 {LITTER} (__MACOSX/)"


def test_only_what_systems_leave_behind_does_not_matter() -> None:
    passed_over = PassedOver()
    assert not passed_over.matters
    passed_over.add(".DS_Store", LITTER)
    assert not passed_over.matters
    passed_over.add("a.heic", ".heic")
    assert passed_over.matters


def test_ten_of_each_kind_are_named() -> None:
    passed_over = PassedOver()
    for index in range(12):
        passed_over.add(f"{index}.mov", ".mov", files=2)
    assert passed_over.record()[".mov"] == {"files": 24, "names": [f"{index}.mov" for index in range(10)]}


def test_forty_kinds_are_told_apart_and_five_are_said() -> None:
    passed_over = PassedOver()
    for index in range(100):
        passed_over.add(f"a.x{index}", f".x{index}")
        passed_over.add("b.x0", ".x0")
    passed_over.add("a", NO_ENDING)
    assert list(passed_over.kinds) == [*(f".x{index}" for index in range(40)), OTHER, NO_ENDING]
    assert passed_over.kinds[OTHER].files == 60
    assert passed_over.files == 201
    said = "101 .x0 (a.x0), 60 other endings (a.x40), 1 .x1 (a.x1), 1 .x10 (a.x10), 1 .x11 (a.x11)"
    assert passed_over.line() == f"{said}, and 37 others"


def test_an_ending_has_at_most_twelve_characters() -> None:
    assert kind_of("a.123456789abc") == ".123456789abc"
    assert kind_of("a.123456789abcd") == NO_ENDING
    assert kind_of("a.1") == ".1"
