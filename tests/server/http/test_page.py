"""The page to try a model on: its files, the crops that it shows, and what a person sees in a browser."""

import asyncio
import io
import os
import re
import shutil
import signal
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from PIL import Image
from playwright.sync_api import Browser, expect

from fovea.images.preprocess import decode_image
from fovea.model.versions import publish
from server.access.scopes import Scope
from server.access.tokens import Token
from server.compute import child
from server.compute.child import Child
from server.errors import ComputeFailed, QueueFull
from server.http import crop_process, cropper
from server.http.cropper import MAX_WAITING, Cropper
from server.http.page import FILES
from tests.browser import WIDE, opened
from tests.server.event_loop import all_has_run, in_event_loop, until
from tests.server.http.calls import form, request
from tests.server.http.test_bodies import serving, sized
from tests.servers import ServerProcess, held_up, running_server
from tests.tiny import SPEC, picture, stage_bundle

STATIC = Path(__file__).parents[3] / "server" / "http" / "static"
GREY = (120, 118, 119)
"""Of which the tiny model is not sure."""


def test_the_page_is_served_and_no_script_or_style_is_inline(server: ServerProcess) -> None:
    for path, (_, media_type) in FILES.items():
        answer = request(server, "GET", path)
        assert answer.status == 200
        assert answer.headers["Content-Type"] == f"{media_type}; charset=utf-8"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        rules = answer.headers["Content-Security-Policy"].split("; ")
        assert {"default-src 'none'", "script-src 'self'", "style-src 'self'"} <= set(rules)
        assert not re.search("unsafe|https?:|data:", answer.headers["Content-Security-Policy"])
    page = (STATIC / "page.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=)", page)


def test_the_page_names_no_address_outside_and_only_files_that_there_are() -> None:
    texts = {file.name: file.read_text() for file in STATIC.iterdir()}
    assert {name for name, _ in FILES.values()} == texts.keys()
    for name, text in texts.items():
        assert not re.findall(
            r"(?:https?:)?//[a-z]", text.replace('xmlns="http://www.w3.org/2000/svg"', "")
        ), name
    named = set(re.findall(r'(?:href|src)="(/[^"]*)"', texts["page.html"]))
    assert named - {"/openapi.json"} == FILES.keys() - {"/"}
    used = set(re.findall(r'element\("([\w-]+)"\)', texts["page.js"]))
    assert used <= set(re.findall(r'id="([\w-]+)"', texts["page.html"]))


def test_a_crop_has_the_very_pixels_that_the_model_is_given(server: ServerProcess) -> None:
    image = picture("red", kind="JPEG")
    body, head = form([image])
    for sent, headers in ((image, {}), (body, {"Content-Type": head["Content_Type"]})):
        answer = request(server, "POST", "/v1/crop?model_version=1", sent, {"X-Request-Id": "a", **headers})
        assert (answer.status, answer.headers["Content-Type"]) == (200, "image/png")
        assert answer.headers["X-Request-Id"] == "a"
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(answer.body))), decode_image(image, SPEC))


def test_a_crop_is_refused_as_a_classification_is(server: ServerProcess) -> None:
    cases = [
        (b"no image", "", {}, 400),
        (picture("red"), "?model_version=7", {}, 404),
        (picture("red"), "?top_k=2", {}, 400),
        (picture("red"), "", {"X-Timeout-Ms": "1"}, 504),
    ]
    for body, query, headers, status in cases:
        answer = request(server, "POST", f"/v1/crop{query}", body, headers)
        assert (answer.status, answer.json["status"]) == (status, status)


@in_event_loop
async def test_crops_are_made_one_at_a_time_and_few_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    under_way, most = 0, 0

    async def asked(request: bytes, image: bytes) -> bytes:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await all_has_run()
        under_way -= 1
        return crop_process.DONE + image

    monkeypatch.setattr(cropper, "_asked", asked)
    one = Cropper(10_000, 10_000)
    crops = (one.png(b"image", SPEC) for _ in range(MAX_WAITING + 1))
    *made, refused = await asyncio.gather(*crops, return_exceptions=True)
    assert made == [b"image"] * MAX_WAITING
    assert isinstance(refused, QueueFull)
    assert most == 1


@in_event_loop
async def test_a_crops_process_that_dies_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crop_process, "MODULE", "there.is.no.such.module")  # as of a hostile image
    with pytest.raises(ComputeFailed, match="died, or hung"):
        await Cropper(10_000, 10_000).png(b"image", SPEC)


@in_event_loop
async def test_a_crops_process_ends_when_its_caller_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Child] = []
    start = child.start

    def start_one_that_hangs(*arguments: Any) -> Child:
        started.append(start(*arguments))
        os.kill(started[0].pid, signal.SIGSTOP)
        return started[0]

    monkeypatch.setattr(child, "start", start_one_that_hangs)
    one = Cropper(10_000, 10_000)

    async def crop(request: web.Request) -> web.Response:
        return web.Response(body=await one.png(b"image", SPEC))

    async with serving(crop) as port:
        caller = socket.create_connection(("127.0.0.1", port))
        caller.sendall(sized(0, b""))
        await until(lambda: bool(started))
        assert not started[0].has_ended()
        caller.close()
        await until(started[0].has_ended)
    assert started[0].wait() == -signal.SIGKILL


@pytest.mark.slow
def test_a_person_sees_the_answer_the_crop_doubt_and_errors(
    server: ServerProcess, browser: Browser, tmp_path: Path
) -> None:
    (tmp_path / "red.png").write_bytes(picture("red"))
    (tmp_path / "grey.png").write_bytes(picture(GREY))
    (tmp_path / "notes.txt").write_text("no image")
    with opened(browser, f"http://127.0.0.1:{server.ready['http_port']}/") as tab:
        for look in tab.looks():
            page = tab.page
            expect(page.get_by_role("heading", level=1)).to_have_text("Try tiny")
            expect(page.locator("#asks-model")).to_be_hidden()
            assert tab.violations() == [], look

            page.get_by_label("Choose an image").set_input_files(tmp_path / "red.png")
            expect(page.get_by_role("heading", name="red, 9")).to_be_visible()
            expect(page.locator("#predictions tbody tr")).to_have_count(3)
            expect(page.locator("#facts")).to_contain_text("tiny, version 1")
            expect(page.locator("#facts")).to_contain_text("Labels it may have, right for 90.0 % of images")
            expect(page.locator("#unknown")).to_be_hidden()
            expect(page.get_by_alt_text("as the model saw it")).to_be_visible()
            expect(page.locator("#crop-caption")).to_contain_text("16 by 16 pixels")
            assert tab.violations() == [], look
            assert not tab.scrolls_sideways(), look

            page.get_by_label("Choose an image").set_input_files(tmp_path / "grey.png")
            expect(page.get_by_role("heading", name="The model abstains")).to_be_visible()
            expect(page.locator("#abstained")).to_contain_text("below the threshold of 60.0 %")
            expect(page.locator("#unknown")).to_contain_text("unlike all that the model was trained on")
            assert tab.violations() == [], look
            assert tab.complaints == [], look

            page.get_by_label("Choose an image").set_input_files(tmp_path / "notes.txt")
            expect(page.locator("#error")).to_contain_text("The bytes are not an image")
            expect(page.locator("#answer")).to_be_hidden()
            assert tab.violations() == [], look
            assert not tab.scrolls_sideways(), look
            assert all("400 (Bad Request)" in each for each in tab.complaints), look
            tab.complaints.clear()


@pytest.mark.slow
def test_a_person_sees_which_labels_an_image_has_and_from_where_on(browser: Browser, tmp_path: Path) -> None:
    publish(stage_bundle(tmp_path / "staged", multi=True), str(tmp_path / "tiny"))
    for name in ("yellow", "black"):
        (tmp_path / f"{name}.png").write_bytes(picture(name))
    with (
        running_server(tmp_path / "tiny") as server,
        opened(browser, f"http://127.0.0.1:{server.ready['http_port']}/") as tab,
    ):
        for look in tab.looks():
            page = tab.page
            expect(page.locator("#model")).to_contain_text(
                "100.0 % of 12 held-out images got exactly their labels"
            )
            page.get_by_label("Choose an image").set_input_files(tmp_path / "yellow.png")
            expect(page.get_by_role("heading", name="red, green")).to_be_visible()
            expect(page.locator("#predictions tbody tr")).to_have_count(3)
            expect(page.locator("#predictions tbody tr.selected")).to_have_count(2)
            expect(page.locator("#predictions tbody tr").nth(1)).to_contain_text("✓ from 60.0 %")
            expect(page.locator("#predictions tbody tr").nth(2)).to_contain_text("below 30.0 %")
            expect(page.locator("#abstained")).to_be_hidden()
            assert tab.violations() == [], look
            assert not tab.scrolls_sideways(), look

            page.get_by_label("Choose an image").set_input_files(tmp_path / "black.png")
            expect(page.get_by_role("heading", name="none of its labels")).to_be_visible()
            expect(page.locator("#predictions tbody tr.selected")).to_have_count(0)
            expect(page.get_by_role("status")).to_have_text("The model says none of its labels.")
            assert tab.violations() == [], look
            assert tab.complaints == [], look


@pytest.mark.slow
def test_the_page_is_used_by_keyboard_and_takes_what_is_dropped(
    server: ServerProcess, browser: Browser, tmp_path: Path
) -> None:
    (tmp_path / "blue.png").write_bytes(picture("blue"))
    with opened(browser, f"http://127.0.0.1:{server.ready['http_port']}/", width=WIDE) as tab:
        page = tab.page
        expect(page.get_by_role("heading", level=1)).to_have_text("Try tiny")
        page.keyboard.press("Tab")
        expect(page.get_by_label("Choose an image")).to_be_focused()
        with page.expect_file_chooser() as chooser:
            page.keyboard.press("Space")
        with held_up(server):
            chooser.value.set_files(tmp_path / "blue.png")
            expect(page.get_by_role("status")).to_have_text("Classifying blue.png …")
        expect(page.get_by_role("heading", name="blue, 9")).to_be_visible()
        page.keyboard.press("Tab")
        page.keyboard.type("1")
        page.evaluate(DROP, [*picture("green")])
        expect(page.get_by_role("heading", name="green, 9")).to_be_visible()
        expect(page.locator("#predictions tbody tr")).to_have_count(1)
        assert tab.complaints == []


@pytest.mark.slow
def test_the_page_asks_for_the_token_that_the_server_wants(
    tiny_models: Path, browser: Browser, tmp_path: Path
) -> None:
    (tmp_path / "tokens").write_text(Token.of("secret", "person", [Scope.CLASSIFY]).line + "\n")
    (tmp_path / "red.png").write_bytes(picture("red"))
    with (
        running_server(tiny_models, "--token-file", str(tmp_path / "tokens")) as server,
        opened(browser, f"http://127.0.0.1:{server.ready['http_port']}/") as tab,
    ):
        for look in tab.looks():
            page = tab.page
            expect(page.locator("#model")).to_contain_text("A token is needed")
            expect(page.get_by_label("token")).to_be_focused()
            assert tab.violations() == [], look
            assert not tab.scrolls_sideways(), look
            page.keyboard.type("wrong")
            page.keyboard.press("Enter")
            expect(page.locator("#model")).to_contain_text("The token is none of those")
            page.get_by_label("token").fill("secret")
            page.keyboard.press("Enter")
            expect(page.get_by_role("heading", level=1)).to_have_text("Try tiny")
            page.get_by_label("Choose an image").set_input_files(tmp_path / "red.png")
            expect(page.get_by_alt_text("as the model saw it")).to_be_visible()
            expect(page.locator("#command")).to_contain_text("Bearer $TOKEN")


@pytest.mark.slow
def test_a_person_chooses_one_of_several_models(browser: Browser, tmp_path: Path) -> None:
    for gain, name in enumerate(("cats", "dogs"), 2):
        publish(stage_bundle(tmp_path / "staged" / name, gain=gain), str(tmp_path / "models" / name))
    (tmp_path / "red.png").write_bytes(picture("red"))
    with (
        running_server("", "--model-root", str(tmp_path / "models"), "--watch-interval-s", "0.1") as server,
        opened(browser, f"http://127.0.0.1:{server.ready['http_port']}/") as tab,
    ):
        page, own = tab.page, tab.page.url
        for look in tab.looks():
            page.goto(own)
            expect(page.get_by_role("heading", level=1)).to_have_text("Try cats")
            page.keyboard.press("Tab")
            expect(page.get_by_role("combobox", name="Model")).to_be_focused()
            assert tab.violations() == [], look
            assert not tab.scrolls_sideways(), look
            page.keyboard.press("ArrowDown")
            expect(page.get_by_role("heading", level=1)).to_have_text("Try dogs")
            expect(page).to_have_url(f"{own}?model=dogs")
            page.reload()
            expect(page.get_by_role("combobox", name="Model")).to_have_value("dogs")
            page.get_by_label("Choose an image").set_input_files(tmp_path / "red.png")
            expect(page.locator("#facts")).to_contain_text("dogs, version 1")
            expect(page.get_by_alt_text("as the model saw it")).to_be_visible()
            expect(page.locator("#command")).to_contain_text("top_k=3&model=dogs")
            page.get_by_role("combobox", name="Model").select_option("cats")
            expect(page.locator("#facts")).to_contain_text("cats, version 1")  # of the same image
            assert tab.complaints == [], look
        page.goto(f"{own}?model=zebra")
        expect(page.locator("#model")).to_contain_text("There is no model 'zebra'; there are 'cats', 'dogs'.")
        page.get_by_role("combobox", name="Model").select_option("dogs")
        expect(page.get_by_role("heading", level=1)).to_have_text("Try dogs")
        publish(stage_bundle(tmp_path / "staged" / "pigs", gain=4), str(tmp_path / "pigs"))
        (tmp_path / "pigs").rename(tmp_path / "models" / "pigs")
        server.wait_for("new model is live")
        page.get_by_role("combobox", name="Model").focus()
        expect(page.get_by_role("option")).to_have_text(["cats", "dogs", "pigs"])
        expect(page.get_by_role("combobox", name="Model")).to_have_value("dogs")
        shutil.rmtree(tmp_path / "models" / "pigs")
        server.wait_for("the removed model is closed")
        page.evaluate("window.dispatchEvent(new Event('focus'))")  # as when a person comes back to the page
        expect(page.get_by_role("option")).to_have_text(["cats", "dogs"])


DROP = """bytes => {
    const files = new DataTransfer();
    files.items.add(new File([new Uint8Array(bytes)], "green.png", { type: "image/png" }));
    const target = document.getElementById("file");
    target.dispatchEvent(new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true }));
}"""
