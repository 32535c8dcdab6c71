import base64
import hashlib
import io
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

from tamperscope.errors import ConfigError, ResultError
from tamperscope.localizer import MethodCard
from tamperscope.report import wording
from tamperscope.report.html import MAX_SIDE, IndexEntry, index_page, report_page, thumbnail
from tamperscope.result import Localization, MapKind

Make = Callable[..., Localization]
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>.jpg'
VOID = {"meta", "img", "input", "br"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails on tags that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def mask() -> np.ndarray:
    mask = np.zeros((30, 50), bool)
    mask[10:20, 10:28] = True
    return mask


def page_of(result: Localization, card: MethodCard, **options: str) -> str:
    return report_page(np.full((*result.size, 3), 90, np.uint8), result, card, **options)


def test_page_says_what_it_must(
    make_result: Make, method_card: MethodCard, mask: np.ndarray
) -> None:
    text = Page(page_of(make_result(mask), method_card)).text
    for part in (
        "Suspicious region: 12 % of the picture, score 0.87",
        "It is not the probability that the picture is a forgery",
        "an estimated probability of being manipulated",
        "Demo <method>",
        "It compares parts of one picture.",
        "It says nothing about pictures made as a whole.",
        "A & B, 2026",
        "version 1.2.3",
        "c" * 40,
        "net: " + "f" * 64,
        "stride = 4",
        "nested.key = <value>",
        "cpu, fp32",
        "network: 1.500",
        "total: 1.750",
        "e" * 64,
        "50 x 30 pixels (width x height)",
        "clusters = 2",
    ):
        assert part in text


def test_the_edge_of_the_mask_has_a_level_only_where_a_level_made_it(
    make_result: Make, method_card: MethodCard, mask: np.ndarray
) -> None:
    sentence = "The edge of the mask lies at 0.50 on its scale."
    marked = make_result(mask)
    assert sentence in Page(page_of(marked, method_card)).text
    empty = make_result(np.zeros_like(mask))
    notes: dict[str, Any] = {"foreground": {"forged": [1]}}
    clustered = replace(marked, provenance=replace(marked.provenance, notes=notes))
    for result in (empty, clustered):
        text = Page(page_of(result, method_card)).text
        assert "edge of the mask lies" not in text
        assert "untouched places were equally common" in text
        assert "Kind of map: probability." in text


def test_a_clean_picture_is_not_called_authentic(
    make_result: Make, method_card: MethodCard
) -> None:
    clean = make_result(np.zeros((8, 8), bool), image_score=0.1)
    text = Page(page_of(clean, method_card)).text
    assert "Nothing found (this does not prove that the picture is authentic)" in text
    assert "There is no mask to outline." in text
    assert "All black: the method marks nothing." in text


def test_hostile_names_stay_text(
    make_result: Make, method_card: MethodCard, mask: np.ndarray
) -> None:
    page = Page(page_of(make_result(mask, id=HOSTILE), method_card))
    assert len(page.all("script")) == 1
    assert HOSTILE in page.text
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)


@pytest.mark.parametrize("name", ["a\x1b[2J\x00.jpg", "caf\udce9.jpg", "\u202egpj.exe"])
def test_names_that_are_not_text_are_escaped(
    make_result: Make, method_card: MethodCard, mask: np.ndarray, name: str
) -> None:
    text = page_of(make_result(mask), method_card, name=name)
    text.encode()
    assert name not in text


def test_page_asks_for_nothing_outside(
    make_result: Make, method_card: MethodCard, mask: np.ndarray
) -> None:
    text = page_of(make_result(mask), method_card)
    page = Page(text)
    assert all(str(image["src"]).startswith("data:image/") for image in page.all("img"))
    assert not {tag for tag, _ in page.tags} & {"link", "a", "iframe", "object", "embed"}
    assert "src" not in page.all("script")[0]
    assert "http" not in re.sub(r"data:[^\"]+|http-equiv", "", text)
    assert "url(" not in text
    assert "@import" not in text


def test_policy_allows_exactly_the_page_s_own_style_and_script(
    make_result: Make, method_card: MethodCard, mask: np.ndarray
) -> None:
    text = page_of(make_result(mask), method_card)
    policy = next(m["content"] for m in Page(text).all("meta") if m.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    for tag in ("style", "script"):
        inside = re.search(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert inside is not None
        digest = base64.b64encode(hashlib.sha256(inside[1].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert " style=" not in text


def test_page_works_without_scripts(
    make_result: Make, method_card: MethodCard, mask: np.ndarray
) -> None:
    page = Page(page_of(make_result(mask), method_card))
    views = [i for i in page.all("input") if i["type"] == "radio"]
    assert [view["value"] for view in views] == ["overlay", "heat", "mask", "picture"]
    assert [view["value"] for view in views if "checked" in view] == ["overlay"]
    slider = next(label for label in page.all("label") if label.get("class") == "blend")
    assert "hidden" in slider
    assert {label["for"] for label in page.all("label") if "for" in label} == {
        view["id"] for view in views
    }


def test_every_image_has_a_text_alternative(
    make_result: Make, method_card: MethodCard, mask: np.ndarray
) -> None:
    page = Page(page_of(make_result(mask), method_card))
    assert all(image["alt"] for image in page.all("img"))
    assert page.all("html") == [{"lang": "en"}]


def test_large_pictures_are_embedded_small(make_result: Make, method_card: MethodCard) -> None:
    mask = np.zeros((20, MAX_SIDE * 2), bool)
    mask[0, 0] = True
    text = page_of(make_result(mask), method_card)
    for uri in re.findall(r'"data:image/\w+;base64,([^"]+)"', text):
        assert max(PILImage.open(io.BytesIO(base64.b64decode(uri))).size) <= MAX_SIDE
    assert "Shown at no more than 1600 pixels a side" in text


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (17, 4000)])
def test_odd_sizes(make_result: Make, method_card: MethodCard, size: tuple[int, int]) -> None:
    assert "12 %" not in Page(page_of(make_result(np.ones(size, bool)), method_card)).text


def test_page_refuses_another_picture(
    make_result: Make, method_card: MethodCard, mask: np.ndarray
) -> None:
    with pytest.raises(ResultError, match="differ in size"):
        report_page(np.zeros((5, 5, 3), np.uint8), make_result(mask), method_card)


def entry(name: str, score: float, page: str = "a.html") -> IndexEntry:
    return IndexEntry(
        name=name, verdict="nothing found", image_score=score, thumbnail=b"\xff", page=page
    )


def test_index_ranks_by_score_and_lists_failures() -> None:
    page = Page(
        index_page(
            [entry("low", 0.1), entry("high", 0.9), entry("also high", 0.9)],
            [("bad<b>.jpg", "is not a picture")],
        )
    )
    assert re.findall(r"(0\.\d+) (also high|high|low) nothing found", page.text) == [
        ("0.90", "also high"),
        ("0.90", "high"),
        ("0.10", "low"),
    ]
    assert "bad<b>.jpg is not a picture" in page.text
    assert "3 pictures examined" in page.text
    assert "does not prove that a picture is authentic" in page.text


def test_index_puts_what_was_found_before_higher_scores_without_a_region() -> None:
    found = replace(entry("found", 0.3), flagged=True)
    page = Page(index_page([entry("clean", 0.9), found]))
    assert page.text.index("found nothing") < page.text.index("clean nothing")
    assert "2 pictures examined: marked ones first, then by score" in page.text


@pytest.mark.parametrize(
    ("file", "href"),
    [
        ("javascript:alert(1).html", "./javascript%3Aalert%281%29.html"),
        ('a"b#?.html', "./a%22b%23%3F.html"),
    ],
)
def test_index_links_are_relative_and_quoted(file: str, href: str) -> None:
    assert Page(index_page([entry(HOSTILE, 0.5, file)])).all("a") == [{"href": href}]


def test_thumbnail_is_a_small_jpeg(make_result: Make) -> None:
    mask = np.ones((900, 600), bool)
    data = thumbnail(np.zeros((900, 600, 3), np.uint8), make_result(mask))
    assert PILImage.open(io.BytesIO(data)).size == (213, 320)


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0 %"),
        (1e-6, "less than 0.1 %"),
        (0.004, "0.4 %"),
        (0.0949, "9.5 %"),
        (0.0999, "10 %"),
        (0.124, "12 %"),
        (0.9999, "more than 99 %"),
        (1.0, "100 %"),
    ],
)
def test_percent(share: float, text: str) -> None:
    assert wording.percent(share) == text


@pytest.mark.parametrize(
    ("score", "text"),
    [
        (0.0, "0.00"),
        (1e-6, "< 0.01"),
        (0.0049, "< 0.01"),
        (0.0051, "0.01"),
        (0.874, "0.87"),
        (0.9949, "0.99"),
        (0.9951, "> 0.99"),
        (1 - 1e-9, "> 0.99"),
        (1.0, "1.00"),
    ],
)
def test_a_score_is_never_a_false_0_or_1(
    score: float, text: str, make_result: Make, method_card: MethodCard, mask: np.ndarray
) -> None:
    assert wording.score(score) == text
    result = make_result(mask, image_score=score)
    assert f"score {text}" in wording.verdict(result)
    assert f"Here it is {text}." in wording.explain_score(result)
    assert f"{text} Suspicious region" in Page(page_of(result, method_card)).text
    assert f"{text} a nothing found" in Page(index_page([entry("a", score)])).text


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_percent_refuses_what_is_no_share(share: float) -> None:
    with pytest.raises(ConfigError, match=r"a share lies in \[0, 1\]"):
        wording.percent(share)


@pytest.mark.parametrize("kind", MapKind)
def test_only_a_probability_is_called_one(kind: MapKind) -> None:
    text = wording.explain_map(kind)
    assert ("not a probability" in text) == (kind is not MapKind.PROBABILITY)


def test_printable_keeps_text_and_escapes_commands() -> None:
    assert wording.printable("Été 2026 (1).jpg") == "Été 2026 (1).jpg"
    assert wording.printable("a\x1b[31m\n\u202e\udcff") == "a\\x1b[31m\\n\\u202e\\udcff"


@pytest.mark.parametrize("flagged", [True, False])
def test_a_region_that_stands_twice_is_put_in_words(
    flagged: bool, mask: np.ndarray, make_result: Make, method_card: MethodCard
) -> None:
    plain = make_result(mask if flagged else np.zeros_like(mask))
    pair = {"confidence": 0.93, "boxes": [[0, 0, 9, 9], [20, 3, 29, 12]]}
    notes: dict[str, Any] = {**plain.provenance.notes, "copied": [pair]}
    twice = replace(plain, provenance=replace(plain.provenance, notes=notes))
    # Frames are drawn around both places, whether or not the score was high enough for a mask.
    assert "a region stands in the picture twice" in wording.verdict(twice)
    assert "nothing found" not in wording.verdict(twice)
    assert ("none is marked" in wording.verdict(twice)) != flagged
    assert "compare the two places" in wording.explain_score(twice)
    assert "No region stood out" not in wording.explain_score(twice)
    assert ("No region was marked" in wording.explain_score(twice)) != flagged
    assert "twice" not in wording.verdict(plain) + wording.explain_score(plain)
    assert "Light blue frames" in page_of(twice, method_card)
    assert "Light blue frames" not in page_of(plain, method_card)
