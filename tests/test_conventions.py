"""docs/conventions.md: every line names a test that exists; the claims without another home."""

import ast
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage
from PIL import ImageCms

import hostile
from hostile import encode, photo
from tamperscope import read_image
from tamperscope.errors import ImageError
from tamperscope.image import DEFAULT_MAX_PIXELS, read_mask
from tamperscope.result import MapKind

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "conventions.md").read_text(encoding="utf-8")
ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split(" | "))
    for line in TEXT.splitlines()
    if line.startswith("|") and not line.startswith(("|---", "| convention"))
]


def test_the_document_has_conventions() -> None:
    assert len(ROWS) > 30
    assert all(len(row) == 2 for row in ROWS)


@pytest.mark.parametrize(("claim", "pin"), ROWS, ids=lambda cell: cell[:60])
def test_every_convention_is_pinned_by_a_test(claim: str, pin: str) -> None:
    found = re.fullmatch(r"`(tests/[\w/]+\.py)::(test_\w+)`", pin)
    assert found, f"{claim!r} names no test"
    tree = ast.parse((ROOT / found[1]).read_text(encoding="utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert found[2] in functions


def test_sizes_are_height_then_width() -> None:
    assert read_image(encode(photo(3, 5), "PNG")).size == (3, 5)
    assert read_mask(encode(photo(3, 5), "PNG")).shape == (3, 5)


def test_only_image_py_decodes() -> None:
    decoders = re.compile(r"cv2\.im(read|decode)|imageio|decode_image|(PIL\w*|Image)\.open\(")
    package = ROOT / "src" / "tamperscope"
    found = {
        path.relative_to(package).parts[0]
        for path in package.rglob("*.py")
        if decoders.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"image.py", "perturb"}


def test_formats_are_recognised_by_content(tmp_path: Path) -> None:
    path = tmp_path / "photo.gif"
    path.write_bytes(encode(photo(), "PNG"))
    assert read_image(path).format == "PNG"


def test_colour_profiles_are_ignored() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    buffer = io.BytesIO()
    PILImage.fromarray(photo()).save(buffer, format="PNG", icc_profile=lab)
    np.testing.assert_array_equal(read_image(buffer.getvalue()).pixels, photo())


def test_grey_is_repeated() -> None:
    pixels = read_image(encode(photo()[..., 0], "PNG")).pixels
    for channel in range(3):
        np.testing.assert_array_equal(pixels[..., channel], photo()[..., 0])


def test_ground_truth_is_cut_above_127() -> None:
    assert read_mask(np.array([[0, 127, 128, 255]], np.uint8)).tolist() == [
        [False, False, True, True]
    ]


def test_every_map_says_what_it_is() -> None:
    assert [kind.value for kind in MapKind] == [
        "probability",
        "saliency",
        "cluster similarity",
        "fakeness",
    ]


def test_the_limit_in_the_text_is_the_limit() -> None:
    assert f"More than {DEFAULT_MAX_PIXELS // 10**6} million pixels" in TEXT


def test_errors_are_one_line() -> None:
    for broken in hostile.BROKEN:
        with pytest.raises(ImageError) as caught:
            read_image(broken.data)
        assert re.search(r"[;:] (get|give|make|replace|rescale|save) ", str(caught.value))
        assert "\n" not in str(caught.value)
