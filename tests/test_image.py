import builtins
import contextlib
import hashlib
import io
import os
import random
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL import ImageFile

import hostile
from hostile import encode, photo
from tamperscope import image as module
from tamperscope.errors import (
    ConfigError,
    EmptyImageError,
    ImageError,
    ImageTooLargeError,
    ImageValueError,
    MissingExtraError,
    NotAnImageError,
    TruncatedImageError,
)
from tamperscope.image import (
    DEFAULT_MAX_PIXELS,
    SUFFIXES,
    Image,
    read_image,
    read_labels,
    read_mask,
)

shapes = hnp.array_shapes(min_dims=2, max_dims=2, max_side=20)
rgb_arrays = shapes.flatmap(lambda s: hnp.arrays(np.uint8, (*s, 3)))
LOSSLESS: list[tuple[str, dict[str, Any]]] = [
    ("PNG", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("BMP", {}),
    ("PPM", {}),
    ("WEBP", {"lossless": True}),
    ("JPEG2000", {}),
]


# --- what comes out ----------------------------------------------------------------------------


@given(rgb_arrays)
def test_rgb_arrays_come_back_unchanged(array: NDArray[np.uint8]) -> None:
    read = read_image(array)
    np.testing.assert_array_equal(read.pixels, array)
    assert read.size == array.shape[:2] == (read.height, read.width)
    assert read.format is None


@given(rgb_arrays, st.sampled_from(LOSSLESS))
def test_lossless_files_come_back_unchanged(
    array: NDArray[np.uint8], how: tuple[str, dict[str, Any]]
) -> None:
    kind, options = how
    read = read_image(encode(array, kind, **options))
    np.testing.assert_array_equal(read.pixels, array)
    assert read.format == kind


@pytest.mark.parametrize(
    ("name", "mode", "start"),
    [
        ("a.pbm", "1", b"P4"),
        ("a.pnm", "1", b"P4"),
        ("a.pnm", "L", b"P5"),
        ("a.pnm", "RGB", b"P6"),
        ("a.j2k", "RGB", b"\xff\x4f\xff\x51"),
    ],
)
def test_bitmaps_and_bare_codestreams(tmp_path: Path, name: str, mode: str, start: bytes) -> None:
    path = tmp_path / name
    stored = PILImage.fromarray(photo()).convert(mode)
    stored.save(path)
    assert path.suffix in SUFFIXES
    assert path.read_bytes().startswith(start)
    np.testing.assert_array_equal(read_image(path).pixels, np.asarray(stored.convert("RGB")))


@pytest.mark.parametrize("view", ["plain", "fortran", "strided", "reversed"])
def test_pixels_are_a_read_only_contiguous_copy(view: str) -> None:
    base = photo(8, 6)
    array = {
        "plain": base,
        "fortran": np.asfortranarray(base),
        "strided": np.repeat(base, 2, axis=0)[::2],
        "reversed": base[::-1, ::-1][::-1, ::-1],
    }[view]
    read = read_image(array)
    assert read.pixels.flags.c_contiguous
    assert read.pixels.dtype == np.uint8
    with pytest.raises(ValueError, match="read-only"):
        read.pixels[0, 0] = 0
    array[:] = 0
    np.testing.assert_array_equal(read.pixels, photo(8, 6))


def test_an_image_passes_through() -> None:
    first = read_image(photo())
    assert read_image(first) is first
    named = read_image(first, id="other")
    assert (named.id, named.sha256) == ("other", first.sha256)
    with pytest.raises(ImageTooLargeError):
        read_image(first, max_pixels=10)


def test_identity_of_files(tmp_path: Path) -> None:
    data = encode(photo(), "PNG")
    digest = hashlib.sha256(data).hexdigest()
    path = tmp_path / "Фото (1).png"
    path.write_bytes(data)
    for source, name in ((path, str(path)), (str(path), str(path)), (data, f"bytes:{digest[:12]}")):
        read = read_image(source)
        assert (read.id, read.sha256, read.format, read.source_mode) == (name, digest, "PNG", "RGB")
    assert read_image(bytearray(data)).sha256 == digest
    assert read_image(memoryview(data), id="mine").id == "mine"


def test_identity_of_arrays_is_dtype_shape_and_content() -> None:
    grey = photo()[..., 0]
    digests = [
        read_image(array).sha256
        for array in (grey, grey[..., None], grey.T, grey.astype(np.uint16), photo())
    ]
    assert len(set(digests)) == len(digests)
    deep = grey.astype(np.uint16) * 257
    assert read_image(deep).sha256 == read_image(deep.astype(">u2")).sha256
    assert read_image(np.asfortranarray(grey)).sha256 == read_image(grey).sha256
    assert read_image(photo()).id.startswith("array:")


def test_pil_images_are_their_pixels() -> None:
    pil = PILImage.fromarray(photo())
    read = read_image(pil)
    np.testing.assert_array_equal(read.pixels, photo())
    assert read.id == f"pil:{read.sha256[:12]}"
    assert read.sha256 == read_image(photo()).sha256


def test_jpeg_is_read_the_same_every_time() -> None:
    data = encode(photo(200, 300), "JPEG", quality=75)
    first = read_image(data).pixels
    for _ in range(3):
        np.testing.assert_array_equal(read_image(data).pixels, first)


@pytest.mark.parametrize("name", hostile.ODD)
def test_odd_pictures_are_read(name: str) -> None:
    read = read_image(hostile.ODD[name])
    small = {"one-pixel.png": (1, 1), "row.png": (1, 64), "column.jpg": (48, 1)}
    assert read.size == small.get(name, (48, 64))
    if not name.startswith(("rgba", "alpha", "one-", "row", "column")):
        # All show the same photo, or one channel of it; two unrelated ones correlate at < 0.1.
        grey = read.pixels.astype(float).mean(axis=2)
        assert np.corrcoef(grey.ravel(), photo().mean(axis=2).ravel())[0, 1] > 0.3


def test_image_checks_its_pixels() -> None:
    with pytest.raises(ImageValueError, match=r"pixels must be uint8 \(h, w, 3\), got float64"):
        Image(pixels=np.zeros((2, 2, 3)), id="x", sha256="", format=None, source_mode="")  # type: ignore[arg-type]


# --- conversion rules --------------------------------------------------------------------------


@given(hnp.arrays(np.uint16, shapes))
def test_16_bit_is_divided_by_257_and_rounded(array: NDArray[np.uint16]) -> None:
    expected = np.rint(array / 257).astype(np.uint8)
    for channel in range(3):
        np.testing.assert_array_equal(read_image(array).pixels[..., channel], expected)


@given(hnp.arrays(np.uint8, shapes))
def test_16_bit_copies_of_8_bit_pictures_are_the_same_picture(array: NDArray[np.uint8]) -> None:
    deep = array.astype(np.uint16) * 257
    np.testing.assert_array_equal(read_image(deep).pixels, read_image(array).pixels)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_files_follow_the_rule_to_the_last_level(suffix: str, channels: int) -> None:
    stored = np.random.default_rng(1).integers(0, 65536, (9, 7, channels), dtype=np.uint16)
    if channels == 4:
        stored[..., 3] = 65535
    read = read_image(cv2.imencode(suffix, stored)[1].tobytes())
    rgb = stored[..., [2, 1, 0]] if channels > 1 else np.repeat(stored, 3, axis=2)
    np.testing.assert_array_equal(read.pixels, np.rint(rgb / 257))
    assert read.source_mode == {1: "I;16", 3: "RGB;16", 4: "RGBA;16"}[channels]


def test_16_bit_grey_with_white_as_zero_is_inverted() -> None:
    grey = np.array([[0, 65535, 257]], dtype=np.uint16)
    data = encode(grey, "TIFF", tiffinfo={262: 0})
    np.testing.assert_array_equal(read_image(data).pixels[0, :, 0], [255, 0, 254])


def test_12_bit_grey_fills_the_range() -> None:
    read = read_image(hostile.tiff_12_bit([0, 4095, 2048, 1]))
    np.testing.assert_array_equal(read.pixels[0, :, 1], [0, 255, 128, 0])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@given(array=hnp.arrays(np.uint8, shapes))
def test_floats_from_0_to_1_are_255_levels(dtype: type, array: NDArray[np.uint8]) -> None:
    as_float = (array / 255).astype(dtype)
    np.testing.assert_array_equal(read_image(as_float).pixels, read_image(array).pixels)


def test_bool_is_black_and_white() -> None:
    array = np.array([[True, False]])
    np.testing.assert_array_equal(read_image(array).pixels[0, :, 0], [255, 0])


@given(shapes.flatmap(lambda s: hnp.arrays(np.uint8, (*s, 4))))
def test_alpha_is_composited_over_white(array: NDArray[np.uint8]) -> None:
    colour, alpha = array[..., :3].astype(float), array[..., 3:].astype(float)
    exact = (colour * alpha + 255 * (255 - alpha)) / 255
    for source in (array, encode(array, "PNG"), PILImage.fromarray(array)):
        np.testing.assert_array_equal(read_image(source).pixels, np.rint(exact))


def test_transparent_is_white_in_every_kind_of_transparency() -> None:
    clear = PILImage.new("RGBA", (3, 2), (10, 20, 30, 0))
    palette = PILImage.new("P", (3, 2), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    sources: list[Any] = [
        clear,
        clear.convert("LA"),
        clear.convert("RGBa"),
        encode(palette, "PNG", transparency=1),
        encode(palette, "GIF", transparency=1),
        encode(PILImage.new("RGB", (3, 2), (1, 2, 3)), "PNG", transparency=(1, 2, 3)),
        encode(PILImage.new("L", (3, 2), 7), "PNG", transparency=7),
        encode(clear, "WEBP", lossless=True),
        np.zeros((2, 3, 4), dtype=np.uint8),
    ]
    for source in sources:
        assert read_image(source).pixels.min() == 255
    assert read_image(encode(palette, "PNG")).pixels[0, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize("mode", ["1", "L", "P", "YCbCr", "HSV", "CMYK", "RGBX", "LA", "PA", "La"])
def test_pil_modes_become_rgb(mode: str) -> None:
    grey = PILImage.fromarray(np.full((2, 3), 255, np.uint8))
    source = grey.convert("LA").convert(mode) if mode in ("PA", "La") else None
    source = source or grey.convert("RGB").convert(mode)
    read = read_image(source)
    assert read.source_mode == mode
    assert read.pixels.shape == (2, 3, 3)
    assert read.pixels.min() >= 253


def test_cmyk_jpeg_has_the_right_polarity() -> None:
    read = read_image(hostile.ODD["cmyk.jpg"])
    assert np.abs(read.pixels.astype(float) - photo()).mean() < 6


@pytest.mark.parametrize("mode", ["I", "LAB"])
def test_pil_modes_without_a_white_point_are_refused(mode: str) -> None:
    with pytest.raises(ImageValueError, match=f"mode {mode} .*convert it to 8- or 16-bit grey"):
        read_image(PILImage.new(mode, (3, 2)))


def test_pil_float_mode_follows_the_float_rule() -> None:
    assert read_image(PILImage.new("F", (3, 2), 1.0)).pixels.min() == 255
    with pytest.raises(ImageValueError, match=r"spans 255 to 255: floats must be in \[0, 1\]"):
        read_image(PILImage.new("F", (3, 2), 255.0))


@pytest.mark.parametrize("name", ["animated.gif", "animated.webp", "pages.tif"])
def test_only_the_first_frame_counts(name: str) -> None:
    read = read_image(hostile.ODD[name])
    assert np.abs(read.pixels.astype(float) - photo()).mean() < 25  # later frames are turned


# --- orientation -------------------------------------------------------------------------------

TURNED: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a.transpose(1, 0, 2), 2),
    8: lambda a: np.rot90(a, 1),
}


def exif(orientation: int) -> PILImage.Exif:
    tags = PILImage.Exif()
    tags[0x0112] = orientation
    return tags


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG", "AVIF"])
def test_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    data = encode(photo(), kind, exif=exif(orientation), **options)
    upright = read_image(encode(photo(), kind, **options)).pixels
    np.testing.assert_array_equal(read_image(data).pixels, TURNED[orientation](upright))
    opened = PILImage.open(io.BytesIO(data))
    np.testing.assert_array_equal(read_image(opened).pixels, TURNED[orientation](upright))


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_exif_orientation_of_16_bit_colour(suffix: str, orientation: int) -> None:
    stored = photo().astype(np.uint16) * 257
    data = cv2.imencode(suffix, stored[..., ::-1])[1].tobytes()
    if suffix == ".png":
        start = data.index(b"IDAT") - 4
        chunk = hostile.png_chunk(b"eXIf", exif(orientation).tobytes().removeprefix(b"Exif\0\0"))
        data = data[:start] + chunk + data[start:]
    else:
        data = with_tiff_orientation(data, orientation)
    read = read_image(data)
    assert read.source_mode == "RGB;16"
    np.testing.assert_array_equal(read.pixels, TURNED[orientation](photo()))


def with_tiff_orientation(data: bytes, orientation: int) -> bytes:
    """Copy the directory of a little-endian TIFF to its end, with the tag added."""
    start = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[start : start + 2], "little")
    body = data[start + 2 : start + 2 + 12 * count]
    entries = [body[i : i + 12] for i in range(0, len(body), 12)]
    tag = (0x0112).to_bytes(2, "little")
    entries = [entry for entry in entries if entry[:2] != tag]
    entries.append(tag + b"\3\0\1\0\0\0" + orientation.to_bytes(4, "little"))
    entries.sort(key=lambda entry: int.from_bytes(entry[:2], "little"))
    directory = len(entries).to_bytes(2, "little") + b"".join(entries) + bytes(4)
    padding = bytes(len(data) % 2)
    offset = (len(data) + len(padding)).to_bytes(4, "little")
    return data[:4] + offset + data[8:] + padding + directory


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_impossible_orientations_count_as_upright(orientation: int) -> None:
    data = encode(photo(), "PNG", exif=exif(orientation))
    np.testing.assert_array_equal(read_image(data).pixels, photo())


@pytest.mark.parametrize(
    "block", [b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0" + bytes(range(200))]
)
def test_corrupt_exif_is_no_obstacle(block: bytes) -> None:
    data = encode(photo(), "JPEG", exif=block)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = read_image(data)
    np.testing.assert_array_equal(read.pixels, read_image(encode(photo(), "JPEG")).pixels)


# --- HEIC --------------------------------------------------------------------------------------


def heic() -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(PILImage.fromarray(photo(64, 64))).save(buffer, quality=95)
    return buffer.getvalue()


def test_heic_is_read_without_touching_pillows_registry() -> None:
    before = dict(PILImage.OPEN)
    read = read_image(heic())
    assert read.format == "HEIF"
    assert np.abs(read.pixels.astype(float) - photo(64, 64)).mean() < 12
    assert before == PILImage.OPEN


def test_heic_without_its_decoder_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    data = heic()
    original = builtins.__import__

    def without_heif(name: str, *args: Any, **options: Any) -> Any:
        if name == "pillow_heif":
            raise ImportError(name)
        return original(name, *args, **options)

    monkeypatch.delitem(sys.modules, "pillow_heif", raising=False)
    monkeypatch.setattr(builtins, "__import__", without_heif)
    with pytest.raises(
        MissingExtraError, match=r"reading HEIC .*pip install 'tamperscope\[heif\]'"
    ):
        read_image(data)


def test_avif_without_its_decoder_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.AvifImagePlugin, "SUPPORTED", False)
    with pytest.raises(MissingExtraError, match="reading AVIF needs .*newer Pillow"):
        read_image(hostile.ODD["photo.avif"])


def test_damaged_heic() -> None:
    data = heic()
    for length in (40, len(data) // 2, len(data) - 20):
        with pytest.raises(TruncatedImageError, match="truncated or damaged HEIF"):
            read_image(data[:length])


# --- refusals ----------------------------------------------------------------------------------

MESSAGES: dict[type[ImageError], str] = {
    EmptyImageError: r"is empty \(0 bytes\); get the file again",
    TruncatedImageError: r"is a truncated or damaged \w+ file \(.+\); get the file again",
    NotAnImageError: "is not a picture; give a JPEG, PNG, .* file",
    ImageTooLargeError: "more than the limit of 100,000,000; make it smaller or raise max_pixels"
    "|more pixels than Pillow decodes .*; make it smaller|take too long to decode; save it again",
    ImageValueError: r"holds NaN or infinity; replace|floats must be in \[0, 1\]; rescale them",
    ImageError: ".",
}


@pytest.mark.parametrize("broken", hostile.BROKEN, ids=lambda broken: broken.name)
def test_broken_files_are_refused(broken: hostile.Broken, tmp_path: Path) -> None:
    path = tmp_path / "holiday.jpg"
    path.write_bytes(broken.data)
    with pytest.raises(broken.error, match=MESSAGES[broken.error]) as caught:
        read_image(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "PPM"])
def test_damaged_bytes_never_escape_as_another_error(kind: str) -> None:
    data = encode(photo(16, 16), kind)
    rng = random.Random(kind)
    for _ in range(60):
        damaged = bytearray(data)
        for _ in range(rng.choice((1, 3, 20))):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        with contextlib.suppress(ImageError):
            assert read_image(bytes(damaged), max_pixels=10**6).pixels.size <= 3 * 10**6


def test_anymaps_of_a_kind_that_is_not_read_are_not_called_damaged() -> None:
    header = b"P7\nWIDTH 4\nHEIGHT 2\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n"
    with pytest.raises(NotAnImageError, match="is not a picture; give a JPEG, PNG, .* file"):
        read_image(header + bytes(24))


def test_the_limit_counts_pixels_exactly() -> None:
    data = encode(photo(10, 10), "PNG")
    assert read_image(data, max_pixels=100).size == (10, 10)
    for source in (data, photo(10, 10), PILImage.fromarray(photo(10, 10))):
        with pytest.raises(ImageTooLargeError, match=r"100 .*limit of 99"):
            read_image(source, max_pixels=99)
    assert DEFAULT_MAX_PIXELS == 100_000_000


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, None])
def test_limits_that_are_none(limit: Any) -> None:
    with pytest.raises(ConfigError, match="max_pixels must be a positive integer"):
        read_image(photo(), max_pixels=limit)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF", "AVIF", "PPM"])
def test_pillows_own_limit_neither_applies_nor_changes(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PILImage, "MAX_IMAGE_PIXELS", 10)
    filters = list(warnings.filters)
    assert read_image(encode(photo(), kind)).size == (48, 64)
    assert PILImage.MAX_IMAGE_PIXELS == 10
    assert warnings.filters == filters


@pytest.mark.parametrize("kind", ["TIFF", "WEBP"])
def test_where_pillows_own_limit_cannot_be_avoided_it_is_named(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encode(photo(), kind)
    monkeypatch.setattr(PILImage, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ImageTooLargeError, match="PIL.Image.MAX_IMAGE_PIXELS"):
        read_image(data)


def test_a_bomb_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(self: Any) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", explode)
    for broken in hostile.BROKEN:
        if broken.error is ImageTooLargeError:
            with pytest.raises(ImageTooLargeError):
                read_image(broken.data)


def test_out_of_memory_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(ImageFile.ImageFile, "load", full)
    with pytest.raises(ImageTooLargeError, match="does not fit in memory; make it smaller first"):
        read_image(encode(photo(), "BMP"))


def test_truncated_pictures_stay_refused() -> None:
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    cases = {
        str(tmp_path): "is a folder; give the path of a picture",
        str(tmp_path / "none.jpg"): "no such file; check the path",
        "": r"no such file|is a folder",
        "a\0b.jpg": "cannot be opened .*check the path",
        "x" * 5000: "cannot be opened .*check the path",
        "https://example.org/a.jpg": "only local files are read; download it first",
    }
    for source, message in cases.items():
        with pytest.raises(NotAnImageError, match=message):
            read_image(source)
    file = tmp_path / "file"
    file.write_bytes(b"x")
    with pytest.raises(NotAnImageError, match="cannot be opened"):
        read_image(file / "below.jpg")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_and_devices_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(NotAnImageError, match="is not a regular file"):
            read_image(path)


def test_unreadable_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode(photo(), "PNG"))

    def deny(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", deny)  # chmod means nothing to an administrator
    with pytest.raises(NotAnImageError, match="permission denied; make the file readable"):
        read_image(path)


def test_files_far_too_long_for_their_limit_are_not_even_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse.tif"
    with path.open("wb") as file:
        file.truncate(2**26 + 16 * 100 + 1)
    with pytest.raises(ImageTooLargeError, match="cannot be a picture of at most 100 pixels"):
        read_image(path, max_pixels=100)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 2), np.int64), "has dtype int64: convert to uint8"),
        (np.zeros((2, 2), np.uint32), "has dtype uint32: convert to uint8"),
        (np.zeros((2, 2), complex), "has dtype complex128"),
        (np.array([["a"]]), "has dtype <U1"),
        (np.array([[None]]), "has dtype object"),
        (np.full((2, 2), np.nan), "holds NaN or infinity; replace them"),
        (np.full((2, 2), np.inf, np.float32), "holds NaN or infinity"),
        (np.array([[0.0, 255.0]]), r"spans 0 to 255: floats must be in \[0, 1\]; rescale"),
        (np.array([[-0.5, 1.0]]), "spans -0.5 to 1"),
        (np.zeros((2, 2, 2), np.uint8), r"shape \(2, 2, 2\): pass \(h, w\)"),
        (np.zeros((3, 20, 30), np.uint8), r"channels come last: array.transpose\(1, 2, 0\)"),
        (np.zeros((1, 2, 2, 3), np.uint8), "pass one picture"),
        (np.zeros(3, np.uint8), "pass one picture"),
        (np.uint8(3), "cannot read a picture from a uint8"),
        ([[1, 2]], "cannot read a picture from a list: pass a path, encoded bytes, a numpy array"),
        (None, "cannot read a picture from a NoneType"),
    ],
)
def test_arrays_without_a_meaning_are_refused(array: Any, message: str) -> None:
    with pytest.raises(ImageValueError, match=message):
        read_image(array)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0), (0, 5, 3)])
def test_arrays_without_pixels_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(EmptyImageError, match="has no pixels .*get the picture again"):
        read_image(np.zeros(shape, np.uint8))


def test_pil_images_without_pixels_are_refused() -> None:
    with pytest.raises(EmptyImageError, match="has no pixels"):
        read_image(PILImage.new("RGB", (0, 5)))


def test_threads_read_at_once_and_leave_the_warning_filters() -> None:
    sources = list(hostile.ODD.values())
    expected = [read_image(data).sha256 for data in sources]
    filters = list(warnings.filters)
    failures: list[object] = []

    def work(shift: int) -> None:
        for i in range(len(sources)):
            k = (i + shift) % len(sources)
            if read_image(sources[k]).sha256 != expected[k]:
                failures.append(k)

    threads = [threading.Thread(target=work, args=(7 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert warnings.filters == filters


# --- masks -------------------------------------------------------------------------------------


@given(hnp.arrays(np.bool_, shapes))
def test_bool_masks_are_themselves(mask: NDArray[np.bool_]) -> None:
    np.testing.assert_array_equal(read_mask(mask), mask)
    np.testing.assert_array_equal(read_mask(mask, polarity="forged-black"), ~mask)


@given(hnp.arrays(np.uint8, shapes, elements=st.integers(2, 255)), st.integers(0, 254))
def test_masks_are_cut_above_the_threshold(grey: NDArray[np.uint8], threshold: int) -> None:
    read = read_mask(encode(grey, "PNG"), threshold=threshold)
    np.testing.assert_array_equal(read, grey > threshold)
    assert read.dtype == np.bool_


def test_masks_are_turned_like_their_pictures() -> None:
    mask = photo()[..., 0] > 127
    data = encode(mask * np.uint8(255), "PNG", exif=exif(6))
    np.testing.assert_array_equal(read_mask(data), np.rot90(mask, -1))


def test_mask_alpha_is_ignored() -> None:
    clear_black = np.zeros((2, 3, 4), np.uint8)
    assert not read_mask(clear_black).any()


def test_masks_of_zeros_and_ones_are_not_taken_for_black() -> None:
    mask = np.array([[0, 1]], np.uint8)
    with pytest.raises(ImageValueError, match="holds only 0 and 1, .*pass threshold=0 or a bool"):
        read_mask(mask)
    assert read_mask(mask, threshold=0).tolist() == [[False, True]]
    assert not read_mask(np.zeros((2, 2), np.uint8)).any()


def test_masks_from_images() -> None:
    assert read_mask(read_image(np.array([[255, 0]], np.uint8))).tolist() == [[True, False]]


def test_mask_options_are_checked() -> None:
    with pytest.raises(ConfigError, match="polarity 'white' must be 'forged-white' or"):
        read_mask(photo(), polarity="white")  # type: ignore[arg-type]
    for threshold in (-1, 255):
        with pytest.raises(ConfigError, match=r"threshold .* must be in 0..254"):
            read_mask(photo(), threshold=threshold)
    with pytest.raises(ImageTooLargeError):
        read_mask(photo(), max_pixels=5)


# --- label maps --------------------------------------------------------------------------------


def test_label_maps_give_the_stored_numbers() -> None:
    numbers = np.array([[0, 1, 18], [7, 7, 255]], np.uint8)
    palette = PILImage.fromarray(numbers)
    palette.putpalette(random.Random(0).randbytes(768))
    for stored in (palette, numbers, np.repeat(numbers[..., None], 3, axis=2)):
        read = read_labels(encode(stored, "PNG"))
        assert read.dtype == np.uint8
        np.testing.assert_array_equal(read, numbers)
    bilevel = PILImage.fromarray(numbers > 1)
    np.testing.assert_array_equal(read_labels(encode(bilevel, "PNG")), numbers > 1)


def test_label_maps_are_turned_with_their_pictures() -> None:
    numbers = PILImage.fromarray(np.array([[1, 2, 3]], np.uint8))
    exif = PILImage.Exif()
    exif[0x0112] = 6
    assert read_labels(encode(numbers, "PNG", exif=exif)).tolist() == [[1], [2], [3]]


@pytest.mark.parametrize(
    ("pixels", "kind"),
    [(photo(), "PNG"), (photo()[..., 0], "JPEG"), (photo()[..., 0].astype(np.uint16), "PNG")],
)
def test_pictures_that_hold_no_label_map(pixels: NDArray[Any], kind: str) -> None:
    with pytest.raises(ImageValueError, match=f"a {kind} picture of mode .* holds no label map: g"):
        read_labels(encode(pixels, kind))


def test_label_maps_that_cannot_be_read(tmp_path: Path) -> None:
    for broken in hostile.BROKEN:
        with pytest.raises(ImageError):
            read_labels(broken.data)
    with pytest.raises(NotAnImageError, match="no such file; check the path"):
        read_labels(tmp_path / "nowhere.png")
    with pytest.raises(ImageTooLargeError):
        read_labels(encode(photo()[..., 0], "PNG"), max_pixels=5)
