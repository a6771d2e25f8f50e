"""What counts as an image by its name, and how what does not is counted."""

from fovea.images.names import LITTER, NO_ENDING, is_image_name, kind_of
from fovea.images.passed_over import MOST_KINDS, OTHER, PassedOver


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


def test_kinds_are_bounded_and_so_is_the_line() -> None:
    passed_over = PassedOver()
    for index in range(10 * MOST_KINDS):
        passed_over.add(f"a.x{index}", f".x{index}")
    passed_over.add("a", NO_ENDING)
    assert len(passed_over.kinds) == MOST_KINDS + 2
    assert passed_over.kinds[OTHER].files == 9 * MOST_KINDS
    assert passed_over.files == 10 * MOST_KINDS + 1
    assert len(passed_over.line()) < 300
    assert passed_over.line().endswith(f"and {MOST_KINDS - 3:,} others")
