"""The page as a person meets it: in a browser, with a service behind it."""

import base64
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

from hostile import encode, photo
from tamperscope.web.config import MethodChoice
from web.browser import chromium
from web.service import Running, config, picture, running, truth

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


CAUTION = (
    "The method sees no face in this picture. It was made for faces: what it says about anything "
    "else means little."
)


class Page:
    """A tab, with what went wrong in it."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        from playwright.sync_api import expect

        self.expect = expect
        self.context = browser.new_context(accept_downloads=True, **options)
        self.context.set_default_timeout(10_000)
        self.tab = self.context.new_page()
        self.errors: list[str] = []
        self.asked: list[str] = []
        self.tab.on("pageerror", lambda error: self.errors.append(str(error)))
        self.tab.on("console", self._note)
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self.tab.goto(address)

    def _note(self, message: Any) -> None:
        # Chromium calls every answer of 400 and more an error.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.errors.append(message.text)

    def __getitem__(self, selector: str) -> Any:
        return self.tab.locator(selector)

    def choose(self, *files: tuple[str, bytes]) -> None:
        self["#files"].set_input_files(
            [
                {"name": name, "mimeType": "application/octet-stream", "buffer": data}
                for name, data in files
            ]
        )

    def wait_for(self, selector: str, text: str) -> None:
        self.expect(self[selector]).to_have_text(text, timeout=20_000)

    def slide(self, selector: str, value: int) -> None:
        self[selector].evaluate(
            "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }",
            value,
        )

    def drawn(self, pane: int = 0) -> np.ndarray[Any, Any]:
        """What a pane shows, RGBA."""
        self.tab.evaluate(
            "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )
        url = self[".pane-canvas"].nth(pane).evaluate("(canvas) => canvas.toDataURL()")
        return np.asarray(PILImage.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))

    def download(self, button: str) -> tuple[str, bytes]:
        with self.tab.expect_download() as waiting:
            self[f'.card >> nth=0 >> button[data-what="{button}"]'].click()
        path = waiting.value.path()
        return waiting.value.suggested_filename, path.read_bytes()


@pytest.fixture
def open_page(browser: Any, service: Running) -> Iterator[Callable[..., Page]]:
    pages: list[Page] = []

    def make(**options: Any) -> Page:
        size = {"width": 1200, "height": 800}
        pages.append(Page(browser, service.address, **{"viewport": size, **options}))
        return pages[-1]

    yield make
    for page in pages:
        page.context.close()
        assert page.errors == []
        assert all(url.startswith((service.address, "blob:")) for url in page.asked)


def test_a_dropped_picture_shows_its_overlay(open_page: Callable[..., Page]) -> None:
    page = open_page()
    data = picture((120, 160))
    page.tab.evaluate(
        """(bytes) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], "dropped.png"));
            for (const type of ["dragenter", "dragover", "drop"]) {
                document.body.dispatchEvent(
                    new DragEvent(type, {dataTransfer: transfer, bubbles: true, cancelable: true}));
            }
        }""",
        list(data),
    )
    page.wait_for(".number", "0.98")
    page.wait_for(".verdict-text", "Suspicious region: 6.2 % of the picture")
    page.wait_for("#progress-label", "1 of 1 examined")
    page.wait_for("#announce", "dropped.png: suspicious region: 6.2 % of the picture, score 0.98")
    label = page[".pane-canvas"].get_attribute("aria-label")
    assert label == (
        "Overlay of heat map and mask of dropped.png, by Toy bright. Suspicious region: 6.2 % of "
        "the picture, score 0.98. The mask lies in the upper left: from 25 to 50 percent from the "
        "left and 25 to 50 percent from the top."
    )
    assert "It is not the probability" in page[".score-text"].inner_text()
    # The square is 98 % white: its heat is a light yellow, outlined by black inside white.
    shown = page.drawn()
    colors = {tuple(color) for color in shown.reshape(-1, 4)}
    assert (255, 255, 255, 255) in colors
    assert (0, 0, 0, 255) in colors
    page["label:has(input[value=picture])"].click()
    plain = {tuple(color) for color in page.drawn().reshape(-1, 4)}
    assert (40, 40, 40, 255) in plain
    assert (255, 255, 255, 255) not in plain


def test_sliders_move_the_heat_and_the_mask(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.choose(("ramp.png", encode(np.tile(np.arange(256, dtype=np.uint8), (64, 1)), "PNG")))
    page.wait_for(".level output", "0.70")
    page["label:has-text('Outline')"].click()
    before = page.drawn()
    page.slide("#opacity", 0)
    page.wait_for("#opacity-value", "0 %")
    without = page.drawn()
    assert not np.array_equal(before, without)
    page["label:has(input[value=picture])"].click()
    assert np.array_equal(without, page.drawn())

    page["label:has(input[value=mask])"].click()
    page.slide(".level input", 128)
    page.wait_for(".level output", "0.50")
    page.wait_for(".level-note", "Every score from 0.50 up: 50 % of the picture.")
    shown = page.drawn()
    inside = shown[shown.shape[0] // 2, :, 0] > 127
    assert inside.mean() == pytest.approx(0.5, abs=0.02)
    name, data = page.download("mask")
    assert name == "ramp.bright.level-0.50.mask.png"
    mask = np.asarray(PILImage.open(io.BytesIO(data)).convert("L"))
    assert np.array_equal(mask > 127, np.tile(np.arange(256) >= 128, (64, 1)))

    page[".level-reset"].click()
    page.wait_for(".level output", "0.70")
    assert page.download("mask")[0] == "ramp.bright.mask.png"


def test_downloads_hold_what_is_shown(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.choose(("a photo.png", picture((48, 64))))
    page.wait_for(".number", "0.98")
    name, mask = page.download("mask")
    assert name == "a photo.bright.mask.png"
    assert np.array_equal(np.asarray(PILImage.open(io.BytesIO(mask))) > 127, truth((48, 64)))
    name, overlay = page.download("overlay")
    assert name == "a photo.bright.overlay.png"
    assert PILImage.open(io.BytesIO(overlay)).size == (64, 48)
    name, record = page.download("json")
    assert name == "a photo.bright.json"
    assert json.loads(record)["record"]["provenance"]["method"] == "bright"
    name, report = page.download("report")
    assert name == "a photo.bright.html"
    assert b"<!doctype html>" in report
    assert b"Toy bright" in report


def test_two_methods_are_compared_in_one_view(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.choose(("pair.png", picture((96, 128))))
    page.wait_for(".number", "0.98")
    page["#compare"].select_option("dark")
    page.expect(page[".card"]).to_have_count(2)
    assert page[".pane-title"].all_inner_texts() == ["Toy bright · 0.98", "Toy dark · 0.84"]
    assert page[".parts li"].all_inner_texts() == ["mouth\n0.75", "left eye\n0.50"]
    page["label:has(input[value=picture])"].click()
    page["#zoom-in"].click()
    page["#zoom-in"].click()
    box = page[".pane-canvas"].nth(1).bounding_box()
    page.tab.mouse.move(box["x"] + 60, box["y"] + 60)
    page.tab.mouse.wheel(0, -200)
    page.tab.mouse.down()
    page.tab.mouse.move(box["x"] + 90, box["y"] + 110)
    page.tab.mouse.up()
    left, right = page.drawn(0), page.drawn(1)
    assert np.array_equal(left, right)
    page["#zoom-fit"].click()
    assert not np.array_equal(left, page.drawn(0))
    page["label:has(input[value=mask])"].click()
    assert not np.array_equal(page.drawn(0), page.drawn(1))


def test_small_numbers_are_shown_on_a_scale_of_their_own(browser: Any) -> None:
    with running(config(methods=(MethodChoice(name="faint"), MethodChoice(name="dark")))) as toys:
        toys.wait_until_ready()
        page = Page(browser, toys.address)
        page.choose(("face.png", picture((96, 128))))
        page.wait_for(".number", "0.98")
        # The map stays below 0.1: the scale ends at twice its threshold, and says so.
        page.wait_for(".pane-scale-name", "fakeness, not a probability")
        page.wait_for(".pane-scale-top", "0.140")
        page.wait_for(".level output", "0.070")
        page.wait_for(".caution-text", CAUTION)
        page.wait_for(".parts h4", "Mean fakeness by part of the face")
        assert page[".parts li.high"].all_inner_texts() == ["mouth\n0.075"]
        page["label:has(input[value=heat])"].click()
        lightest = page.drawn()[..., :3].reshape(-1, 3).astype(int).sum(axis=1).max()
        assert lightest > 350  # without a scale of its own it would stay below 100
        page["label:has(input[value=mask])"].click()
        assert page[".pane-scale"].is_hidden()
        page.slide(".level input", 0)
        page.wait_for(".level-note", "Every score from 0.000 up: 100 % of the picture.")
        page["#compare"].select_option("dark")
        page.expect(page[".card"]).to_have_count(2)
        page["label:has(input[value=heat])"].click()
        assert page[".pane-scale-top"].all_inner_texts() == ["0.140", "1.00"]
        assert page[".card >> nth=1"].locator(".caution-text").is_hidden()
        groups = page["#method optgroup"].evaluate_all("(all) => all.map((one) => one.label)")
        assert groups == ["For one face that fills the picture"]
        assert page.errors == []
        page.context.close()


def test_places_that_are_alike_are_framed(browser: Any) -> None:
    with running(config(methods=(MethodChoice(name="dark"),))) as service:
        page = Page(browser, service.address, viewport={"width": 1200, "height": 800})
        page.choose(("twice.png", picture((48, 64))))
        page.wait_for("#progress-label", "1 of 1 examined")

        def framed(shown: np.ndarray[Any, Any]) -> int:
            """Pixels of about the light blue of the frames, which no heat has."""
            red, green, blue = (shown[..., i].astype(int) for i in range(3))
            return int(((red < 170) & (green > 150) & (blue > 190) & (blue > red + 50)).sum())

        assert framed(page.drawn()) > 50
        (_, data) = page.download("overlay")
        assert framed(np.asarray(PILImage.open(io.BytesIO(data)).convert("RGB"))) > 10
        page["label:has-text('Outline')"].click()
        assert framed(page.drawn()) == 0
        page.context.close()
    assert page.errors == []


def test_before_and_after_meet_at_the_divider(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.choose(("half.png", encode(np.full((80, 80, 3), 230, np.uint8), "PNG")))
    page.wait_for(".number", "0.90")
    page["label:has(input[value=split])"].click()
    assert page[".pane-left"].inner_text() == "picture as given"
    shown = page.drawn()
    row = shown[shown.shape[0] // 4]
    middle = shown.shape[1] // 2
    assert tuple(row[middle - 40]) == (230, 230, 230, 255)
    assert tuple(row[middle + 40]) != (230, 230, 230, 255)
    page.slide("#split", 100)
    assert tuple(page.drawn()[shown.shape[0] // 4][middle + 40]) == (230, 230, 230, 255)


def test_a_pixel_of_the_picture_can_be_pointed_at(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.choose(("point.png", picture((48, 64))))
    page.wait_for(".number", "0.98")
    box = page[".pane-canvas"].bounding_box()
    page.tab.mouse.move(box["x"] + box["width"] / 2 + 1, box["y"] + box["height"] / 2 + 1)
    page.wait_for("#readout", "x 32, y 24 · score 0.16")


def test_keys_work_where_the_picture_has_the_focus(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.choose(("one.png", picture()), ("two.png", picture(kind="JPEG")))
    page.wait_for("#progress-label", "2 of 2 examined")
    page.wait_for("#viewer-title", "one.png")
    page[".pane-canvas"].focus()
    for key, mode in (("h", "heat"), ("m", "mask"), ("b", "split"), ("p", "picture")):
        page.tab.keyboard.press(key)
        assert page["input[name=view]:checked"].input_value() == mode
    page.tab.keyboard.press("1")
    page.wait_for("#zoom-level", "100 %")
    page.tab.keyboard.press("+")
    page.wait_for("#zoom-level", "125 %")
    page.tab.keyboard.press("n")
    page.wait_for("#viewer-title", "two.png")


def test_everything_is_reached_with_the_tab_key(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.choose(("one.png", picture()))
    page.wait_for(".number", "0.98")
    reached = set()
    for _ in range(40):
        page.tab.keyboard.press("Tab")
        reached.add(
            page.tab.evaluate(
                "() => document.activeElement.id || document.activeElement.dataset.what"
                " || document.activeElement.className"
            )
        )
    wanted = {"files", "method", "item-open", "compare", "pane-canvas", "opacity", "contour"}
    assert wanted | {"mask", "overlay", "json", "report", "zoom-in"} <= reached


def test_what_fails_says_why_and_the_rest_goes_on(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.choose(
        ("<img src=x onerror=alert(1)>.png", b"no picture"),
        ("large.png", b"\0" * (3 << 20)),
        ("good.png", picture()),
    )
    page.wait_for("#progress-label", "1 of 3 examined, 2 could not be")
    states = page[".item-state"].all_inner_texts()
    assert states[0] == "not a picture that can be read"
    assert states[1] == "larger than the limit of 2 MB"
    assert states[2] == "6.2 % marked"
    # Asking again would give the same answer, and is not offered.
    assert page[".item-retry:visible"].count() == 0
    page[".item-open >> nth=0"].click()
    page.wait_for(".note-head", "Could not be examined")
    assert page[".note-text"].inner_text().startswith("The file is not a picture; give a JPEG")
    assert page[".item-name"].first.inner_text() == "<img src=x onerror=alert(1)>.png"
    page[".item-open >> nth=2"].click()
    page.wait_for(".number", "0.98")
    page[".item-remove >> nth=0"].click()
    page.expect(page[".item"]).to_have_count(2)


def test_pasted_pictures_and_formats_only_the_service_reads(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.tab.evaluate(
        """(bytes) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], "scan.tif"));
            document.dispatchEvent(
                new ClipboardEvent("paste", {clipboardData: transfer, bubbles: true}));
        }""",
        list(picture((48, 64), kind="TIFF")),
    )
    page.wait_for(".number", "0.98")
    page["label:has(input[value=picture])"].click()
    assert (40, 40, 40, 255) in {tuple(color) for color in page.drawn().reshape(-1, 4)}


@pytest.mark.parametrize(
    ("scheme", "width"),
    [
        ("light", 1200),
        ("dark", 390),
        pytest.param("light", 390, marks=pytest.mark.slow),
        pytest.param("dark", 1200, marks=pytest.mark.slow),
    ],
)
def test_no_accessibility_rule_is_broken(
    open_page: Callable[..., Page], scheme: str, width: int
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = open_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    page.expect(page["#method option"]).to_have_count(2)
    assert broken_rules(axe, page) == []
    page.choose(("a.png", picture((96, 128))), ("b.png", b"broken"))
    page.wait_for("#progress-label", "1 of 2 examined, 1 could not be")
    page["#compare"].select_option("dark")
    page.expect(page[".card"]).to_have_count(2)
    assert broken_rules(axe, page) == []
    page["#help-open"].click()
    assert broken_rules(axe, page) == []


def broken_rules(axe: Any, page: Page) -> list[str]:
    found = axe.Axe().run(page.tab).response["violations"]
    return [f"{rule['id']}: {rule['nodes'][0]['html']}" for rule in found]


def test_a_phone_never_scrolls_sideways(open_page: Callable[..., Page]) -> None:
    page = open_page(viewport={"width": 360, "height": 740}, has_touch=True)
    page.choose(("a rather long name of a picture that was taken.png", picture((96, 128))))
    page.wait_for(".number", "0.98")
    page["#compare"].select_option("dark")
    page.expect(page[".card"]).to_have_count(2)
    assert page.tab.evaluate("() => document.documentElement.scrollWidth") == 360


def test_the_page_asks_for_the_token(browser: Any) -> None:
    token = "0123456789abcdef-token"
    with running(config(token=token)) as service:
        service.client.headers["Authorization"] = f"Bearer {token}"
        service.wait_until_ready()
        page = Page(browser, service.address)
        page["#token"].fill("wrong")
        page.tab.keyboard.press("Enter")
        page.wait_for("#login-error", "The service does not know this token.")
        page["#token"].fill(token)
        page.tab.keyboard.press("Enter")
        page.expect(page["#method option"]).to_have_count(2)
        page.choose(("a.png", encode(photo(), "PNG")))
        page.wait_for("#progress-label", "1 of 1 examined")
        assert page["#login"].is_hidden()
        page.context.close()
