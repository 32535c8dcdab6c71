"""The page as a person meets it: in a browser, with a service behind it."""

import base64
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

from hostile import encode, photo
from tamperscope.report import wording
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

    def focused(self) -> str:
        found: str = self.tab.evaluate(
            "() => document.activeElement.id || document.activeElement.className"
        )
        return found

    def count(self, path: str) -> int:
        """Requests so far whose address holds `path`."""
        return sum(path in url for url in self.asked)

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
    kept = json.loads(record)
    assert kept["record"]["provenance"]["method"] == "bright"
    assert base64.b64decode(kept["mask"]["base64"]) == mask
    assert not {"map", "picture", "overlay", "report"} & set(kept)
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


@pytest.mark.parametrize("turn", [3, 6])
def test_the_mask_lies_on_pictures_that_the_browser_does_not_turn(
    open_page: Callable[..., Page], turn: int
) -> None:
    exif = PILImage.Exif()
    exif[0x0112] = turn
    pixels = np.full((64, 64, 3), 40, np.uint8)
    pixels[4:20, 4:20] = 250
    page = open_page()
    page.choose(("turned.webp", encode(pixels, "WEBP", lossless=True, exif=exif)))
    page.wait_for(".number", "0.98")

    def center_of_light(mode: str) -> list[float]:
        page[f"label:has(input[value={mode}])"].click()
        shown = page.drawn().astype(int)
        light = (shown[..., 0] > 127) & (shown[..., 3] > 0)
        return [float(axis.mean()) for axis in np.nonzero(light)]

    assert center_of_light("picture") == pytest.approx(center_of_light("mask"), abs=2)


def test_the_page_rounds_as_the_sentences_do(open_page: Callable[..., Page]) -> None:
    page = open_page()
    shares = sorted({*(i / 800 for i in range(801)), 0.001, 0.0004, 0.0025, 0.996, 0.9951, 0.004})
    script = """async (shares) => {
        const words = await import("/static/words.js");
        return shares.map((share) => [words.percent(share), words.scoreText(share)]);
    }"""
    assert page.tab.evaluate(script, shares) == [
        [wording.percent(share), wording.score(share)] for share in shares
    ]


def test_no_score_is_shown_as_certain(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.choose(("light.png", encode(np.full((40, 40, 3), 254, np.uint8), "PNG")))
    page.wait_for(".number", "> 0.99")
    page.wait_for(".item-score", "> 0.99")
    page.wait_for(".verdict-text", "Suspicious region: 100 % of the picture")


def test_no_result_stands_under_the_name_of_another_picture(
    open_page: Callable[..., Page],
) -> None:
    page = open_page()
    ramp = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
    page.choose(("one.png", encode(ramp, "PNG")), ("two.png", picture((64, 256))))
    page.wait_for("#progress-label", "2 of 2 examined")
    page.wait_for(".number", "1.00")
    page["label:has(input[value=mask])"].click()
    # In one go, before the other picture is open: there and back again.
    left = page.tab.evaluate(
        """() => {
            const [one, two] = document.querySelectorAll(".item-open");
            two.click();
            const cards = document.querySelectorAll(".card").length;
            one.click();
            return cards;
        }"""
    )
    assert left == 0
    page.expect(page[".card"]).to_have_count(1)
    page.slide(".level input", 64)
    page.wait_for(".level-note", "Every score from 0.25 up: 75 % of the picture.")
    shown = page.drawn()
    inside = shown[shown.shape[0] // 2, :, 0] > 127
    assert inside.mean() == pytest.approx(0.75, abs=0.02)


def test_a_result_that_cannot_be_drawn_says_so(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.choose(("one.png", picture()), ("two.png", picture()))
    page.wait_for("#progress-label", "2 of 2 examined")
    page.tab.evaluate(
        """() => {
            const decode = window.createImageBitmap;
            window.createImageBitmap = (source, options) => (options.colorSpaceConversion
                ? Promise.reject(new Error("full")) : decode(source, options));
            window.mended = () => { window.createImageBitmap = decode; };
        }"""
    )
    page[".item-open >> nth=1"].click()
    page.wait_for("#viewer-title", "two.png")
    page.wait_for(".pane-wait-text", "heat map and mask cannot be drawn here")
    page.wait_for(".number", "0.98")
    assert page[".level"].is_hidden()
    assert page['[data-what="overlay"]'].is_disabled()
    page.tab.evaluate("() => window.mended()")
    page[".item-open >> nth=1"].click()
    page.expect(page[".level"]).to_be_visible()
    assert page[".pane-wait"].is_hidden()


def test_noise_in_place_of_pixels_is_not_drawn(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.context.add_init_script(
        """CanvasRenderingContext2D.prototype.getImageData = (x, y, width, height) => {
            const image = new ImageData(width, height);
            image.data.forEach((_, i) => { image.data[i] = 256 * Math.random(); });
            return image;
        };"""
    )
    page.tab.reload()
    page.choose(("one.png", picture((96, 128))))
    page.wait_for(".number", "0.98")
    assert page["#notice"].inner_text().startswith("This browser keeps pages from reading pixels")
    page.wait_for(".pane-wait-text", "heat map and mask cannot be drawn here")
    colors = {tuple(color) for color in page.drawn().reshape(-1, 4)}
    assert colors <= {(0, 0, 0, 0)} | {(v, v, v, 255) for v in range(256)}  # the grey picture alone
    assert page[".level"].is_hidden()
    mask = PILImage.open(io.BytesIO(page.download("mask")[1]))
    assert np.array_equal(np.asarray(mask) > 127, truth((96, 128)))


def test_an_answer_that_breaks_off_stops_nothing(
    open_page: Callable[..., Page], tmp_path: Path
) -> None:
    page = open_page()
    page.tab.route("**/v1/localize?*", lambda route: route.fulfill(body="<p>a proxy's page</p>"))
    path = tmp_path / "here.png"
    path.write_bytes(picture())
    page["#files"].set_input_files([path])
    page.choose(("one.png", picture()), ("two.png", picture()), ("three.png", picture()))
    page.wait_for("#progress-label", "0 of 4 examined, 4 could not be")
    assert page[".item-state"].first.inner_text() == "the answer got lost"
    # Looking at what failed does not repeat it.
    before = page.count("/v1/localize")
    page[".item-open >> nth=1"].click()
    page.wait_for(".note-text", "The answer of the service did not arrive whole. Try it again.")
    assert page.count("/v1/localize") == before
    page.tab.unroute("**/v1/localize?*")
    page[".item-retry >> nth=1"].focus()
    page.tab.keyboard.press("Enter")
    assert page.focused() == "item-open"
    page.wait_for("#progress-label", "1 of 4 examined, 3 could not be")

    # The method beside it can be tried again too, on its card.
    page.tab.route("**/v1/localize?*", lambda route: route.fulfill(body="{}"))
    page["#compare"].select_option("dark")
    page.wait_for(".note-head", "Could not be examined")
    page.tab.unroute("**/v1/localize?*")
    page[".note-retry"].click()
    page.expect(page[".card"]).to_have_count(2)
    assert page.focused() == "results"

    # A file that has gone is no fault of the service.
    path.unlink()
    page[".item-retry >> nth=0"].click()
    page.expect(page[".item-state"].first).to_have_text("the file cannot be read")
    assert page[".item-retry"].first.is_hidden()


def test_folders_may_be_dropped(open_page: Callable[..., Page], tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "one.png").write_bytes(picture())
    (tmp_path / "deep" / "two.png").write_bytes(picture())
    (tmp_path / "deep" / "notes.txt").write_text("not a picture")
    (tmp_path / "none").mkdir()
    page = open_page()
    page.expect(page["#method option"]).to_have_count(2)
    drag = page.context.new_cdp_session(page.tab)

    def drop(path: Path) -> None:
        data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            drag.send("Input.dispatchDragEvent", {"type": kind, "x": 99, "y": 99, "data": data})

    drop(tmp_path / "none")
    page.expect(page["#notice"]).to_contain_text("There is no picture file in what was dropped.")
    drop(tmp_path)
    page.wait_for("#progress-label", "2 of 2 examined")
    assert sorted(page[".item-name"].all_inner_texts()) == ["one.png", "two.png"]
    assert page["#notice"].is_hidden()


def test_pictures_too_large_to_draw_say_so(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.choose(("wide.png", picture((100, 4200))))
    page.wait_for(".number", "0.98")
    overlay = page.download("overlay")[1]
    assert PILImage.open(io.BytesIO(overlay)).size == (4096, 98)
    page.tab.evaluate("() => { HTMLCanvasElement.prototype.toBlob = (done) => done(null); }")
    page['button[data-what="overlay"]'].click()
    page.expect(page[".download-note"]).to_contain_text("This browser could not make the file")
    page.download("report")
    assert page[".download-note"].is_hidden()


def test_pictures_are_decoded_once_and_let_go(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.expect(page["#method option"]).to_have_count(2)
    page.tab.evaluate(
        """() => {
            const decode = window.createImageBitmap;
            window.bitmaps = [];
            window.createImageBitmap = async (source, options) => {
                const bitmap = await decode(source, options);
                if (source instanceof File) { window.bitmaps.push(bitmap); }
                return bitmap;
            };
        }"""
    )
    page.choose(("one.png", picture()))
    page.wait_for(".number", "0.98")
    assert page.tab.evaluate("() => window.bitmaps.length") == 1
    page.choose(("two.png", picture()), ("three.png", picture()))
    page.wait_for("#progress-label", "3 of 3 examined")
    # Left before they are open.
    page.tab.evaluate("() => document.querySelectorAll('.item-open').forEach((one) => one.click())")
    page.wait_for(".number", "0.98")
    opened = "(count) => window.bitmaps.filter((bitmap) => bitmap.width > 0).length === count"
    page.tab.wait_for_function(opened, arg=1)
    decoded = page.tab.evaluate("() => window.bitmaps.length")
    page["#clear"].click()
    assert page.focused() == "files"
    assert page[".pane-canvas"].count() == 0
    page.tab.wait_for_function(opened, arg=0)
    assert page.tab.evaluate("() => window.bitmaps.length") == decoded


def test_the_focus_and_the_announcements_follow(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.expect(page["#method option"]).to_have_count(2)
    page.choose(("huge.png", b"\0" * (3 << 20)), ("vast.png", b"\0" * (3 << 20)))
    said = "huge.png: larger than the limit of 2 MB; vast.png: larger than the limit of 2 MB"
    page.wait_for("#announce", said)
    page.choose(("three.png", picture()))
    page.wait_for("#progress-label", "1 of 3 examined, 2 could not be")
    page[".item-remove >> nth=0"].click()
    assert page.focused() == "item-open"
    page.wait_for("#viewer-title", "vast.png")
    page[".item-remove >> nth=1"].click()
    assert page.focused() == "item-open"


def test_methods_that_are_missing_say_why(open_page: Callable[..., Page]) -> None:
    page = open_page()

    def without_dark(route: Any) -> None:
        answer = route.fetch()
        methods = answer.json()
        methods["methods"][1].update(available=False, reason="no weights 'x': leave them out")
        route.fulfill(response=answer, json=methods)

    page.tab.route("**/v1/methods", without_dark)
    page.tab.reload()
    page.expect(page["#method option"]).to_have_count(2)
    option = page["#method option[value=dark]"]
    assert option.get_attribute("title") == "no weights 'x': leave them out"
    page["#help-open"].click()
    page.wait_for("#missing li", "Toy dark: no weights 'x': leave them out")
