"""What every method in the catalogue promises, whatever it does inside."""

import json
import random
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

import hostile
from hostile import encode, photo
from tamperscope import __version__, catalog
from tamperscope.errors import (
    ConfigError,
    ImageTooLargeError,
    ImageValueError,
    NotAnImageError,
    TamperscopeError,
    TruncatedImageError,
    UnknownNameError,
    WeightsNotFoundError,
)
from tamperscope.image import read_image
from tamperscope.localizer import Localizer
from tamperscope.provenance import config_digest, tool_commit
from tamperscope.result import Localization

SIZES = [(1, 1), (1, 2), (1, 97), (97, 1), (2, 2), (7, 5), (31, 33), (64, 64), (65, 129)]
KINDS = [
    "grey.png",
    "bilevel.png",
    "palette-clear.png",
    "grey-alpha.png",
    "rgba.png",
    "grey16.png",
    "rgb16.png",
    "rgb16.tif",
    "rgba16.png",
    "float.tif",
    "cmyk.jpg",
    "cmyk.tif",
    "animated.gif",
    "alpha.webp",
    "photo.avif",
]


def same(a: Localization, b: Localization) -> None:
    """Equal to the last bit: near enough is not the same result."""
    np.testing.assert_array_equal(a.score_map, b.score_map)
    np.testing.assert_array_equal(a.mask, b.mask)
    assert a.image_score == b.image_score
    assert a.threshold == b.threshold


def is_whole(found: Localization, localizer: Localizer, size: tuple[int, int]) -> None:
    """A result checks its own ranges; here is what it cannot know."""
    assert isinstance(found, Localization)
    assert found.size == size
    assert found.map_kind is localizer.card.map_kind
    assert found.provenance.input_size == size


def spliced(height: int = 160, width: int = 200) -> np.ndarray[Any, Any]:
    """A photo with a patch of another history."""
    picture = np.array(read_image(encode(photo(height, width), "JPEG", quality=60)).pixels)
    picture[40:104, 56:136] = photo(64, 80, seed=9)
    return picture


# --- pictures of all kinds ---------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_any_size(localizer: Localizer, size: tuple[int, int]) -> None:
    is_whole(localizer.localize(photo(*size)), localizer, size)


@pytest.mark.parametrize("size", [(17, 4000), (4000, 17)], ids=str)
def test_strips(localizer: Localizer, size: tuple[int, int]) -> None:
    is_whole(localizer.localize(photo(*size)), localizer, size)


@pytest.mark.parametrize("name", KINDS)
def test_any_kind_of_file(localizer: Localizer, name: str) -> None:
    found = localizer.localize(hostile.ODD[name])
    is_whole(found, localizer, (48, 64))
    same(found, localizer.localize(read_image(hostile.ODD[name]).pixels))


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_picture_of_one_colour_is_clean(localizer: Localizer, level: int) -> None:
    found = localizer.localize(np.full((70, 90, 3), level, np.uint8))
    is_whole(found, localizer, (70, 90))
    assert not found.flagged


def test_grey_is_rgb_of_equal_channels(localizer: Localizer) -> None:
    grey = spliced()[..., 0]
    same(localizer.localize(grey), localizer.localize(np.dstack([grey] * 3)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_results_come_out_as_displayed(localizer: Localizer, orientation: int) -> None:
    exif = PILImage.Exif()
    exif[0x0112] = orientation
    data = encode(spliced(), "PNG", exif=exif)
    displayed = read_image(data)
    assert displayed.size == ((200, 160) if orientation >= 5 else (160, 200))
    found = localizer.localize(data)
    is_whole(found, localizer, displayed.size)
    same(found, localizer.localize(displayed.pixels))


def test_path_bytes_array_and_image_agree(localizer: Localizer, tmp_path: Path) -> None:
    data = encode(spliced(), "PNG")
    path = tmp_path / "Фото 1.png"
    path.write_bytes(data)
    found = localizer.localize(path)
    for source in (str(path), data, read_image(path), spliced(), PILImage.fromarray(spliced())):
        same(localizer.localize(source), found)


def test_the_picture_is_left_alone(localizer: Localizer) -> None:
    picture = spliced()
    localizer.localize(picture)
    np.testing.assert_array_equal(picture, spliced())
    assert picture.flags.writeable


# --- same picture, same result -----------------------------------------------------------------


def test_asked_twice(localizer: Localizer) -> None:
    same(localizer.localize(spliced()), localizer.localize(spliced()))


def test_loaded_twice(localizer: Localizer, load: Callable[..., Localizer]) -> None:
    same(localizer.localize(spliced()), load().localize(spliced()))


def test_chance_elsewhere_neither_matters_nor_is_disturbed(localizer: Localizer) -> None:
    torch = pytest.importorskip("torch")
    results = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - the old global state is what is tested
        torch.manual_seed(seed)
        before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
        results.append(localizer.localize(spliced()))
        after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
        assert before[:2] == after[:2]
        assert torch.equal(before[2], after[2])
    same(*results)


def test_alone_and_in_a_batch(localizer: Localizer) -> None:
    sources = [spliced(), photo(33, 47), spliced()[:96, :96], photo(1, 1), spliced(), photo(96, 96)]
    batch = localizer.localize_batch(sources)
    assert len(batch) == len(sources)
    for found, source in zip(batch, sources, strict=True):
        is_whole(found, localizer, source.shape[:2])
        same(found, localizer.localize(source))
        assert found.provenance.input_sha256 == read_image(source).sha256


def test_a_batch_of_none_and_of_one(localizer: Localizer) -> None:
    assert localizer.localize_batch([]) == []
    (found,) = localizer.localize_batch([spliced()])
    same(found, localizer.localize(spliced()))


# --- what the result says about itself ---------------------------------------------------------


def test_provenance_is_complete(localizer: Localizer, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode(spliced(), "PNG"))
    told = localizer.localize(path).provenance
    image = read_image(path)
    assert (told.version, told.commit) == (__version__, tool_commit())
    assert told.method == localizer.card.name
    assert told.config
    assert told.device == "cpu"
    assert told.precision in ("fp32", "bf16", "fp16")
    assert (told.input_id, told.input_sha256, told.input_size) == (
        str(path),
        image.sha256,
        image.size,
    )
    assert told.seconds
    assert all(seconds >= 0 for seconds in told.seconds.values())
    assert all(re.fullmatch("[0-9a-f]{64}", sha) for sha in told.weights.values())
    assert bool(told.weights) == bool(localizer.card.weights)


def test_the_caller_names_the_picture(localizer: Localizer) -> None:
    assert localizer.localize(photo(), id="evidence 7").provenance.input_id == "evidence 7"
    assert localizer.localize(photo()).provenance.input_id.startswith("array:")


def test_results_survive_the_disk(localizer: Localizer, tmp_path: Path) -> None:
    found = localizer.localize(spliced())
    npz, record = found.save(tmp_path, "a")
    back = Localization.load(npz)
    same(found, back)
    assert back.provenance == found.provenance
    assert json.loads(record.read_text(encoding="utf-8"))["map_kind"] == found.map_kind.value


def test_description_tells_settings_apart(
    localizer: Localizer, load: Callable[..., Localizer]
) -> None:
    described = localizer.describe()
    assert json.loads(json.dumps(described, allow_nan=False)) == described
    assert config_digest(described) == config_digest(load().describe())
    localizer.localize(photo())
    assert localizer.describe() == described


def test_card(localizer: Localizer, method: str) -> None:
    assert isinstance(localizer, Localizer)
    assert localizer.card == catalog.card(method)


# --- refusals ----------------------------------------------------------------------------------


def test_bad_pictures_raise_and_do_no_harm(localizer: Localizer, tmp_path: Path) -> None:
    before = localizer.localize(spliced())
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(encode(photo(), "JPEG")[:-40])
    bad: list[tuple[Any, type[Exception], str]] = [
        (cut, TruncatedImageError, "cut.jpg: is a truncated or damaged JPEG"),
        (tmp_path / "none.jpg", NotAnImageError, "none.jpg: no such file"),
        (np.full((4, 4), np.nan), ImageValueError, "NaN"),
        (np.zeros((4, 4), np.int32), ImageValueError, "dtype int32"),
    ]
    for source, error, message in bad:
        with pytest.raises(error, match=message):
            localizer.localize(source)
        with pytest.raises(error, match=message):
            localizer.localize_batch([photo(), source])
    same(localizer.localize(spliced()), before)


def test_pixel_limit(load: Callable[..., Localizer]) -> None:
    limited = load(max_pixels=48 * 64)
    assert limited.localize(photo()).size == (48, 64)
    with pytest.raises(ImageTooLargeError, match=r"more than the limit of 3,072"):
        limited.localize(photo(48, 65))


def test_unknown_settings_are_named(load: Callable[..., Localizer]) -> None:
    with pytest.raises(UnknownNameError, match="unknown preset .*'defualt'; did you mean"):
        load(preset="defualt")
    with pytest.raises(TamperscopeError, match="no_such_option"):
        load(no_such_option=1)
    with pytest.raises(ConfigError, match="warp"):
        load(device="warp")
    with pytest.raises(WeightsNotFoundError, match=r"no_such_weights\.pth"):
        load(weights="no_such_weights.pth")


def test_no_network(load: Callable[..., Localizer], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **options: Any) -> Any:
        raise AssertionError(f"a socket was opened: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert load().localize(photo()).size == (48, 64)
