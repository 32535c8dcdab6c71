"""The only decoder: a path, bytes, an array or a PIL image in; one kind of picture out.

Every picture becomes RGB uint8 (h, w, 3) in displayed orientation by these rules, each pinned by
a test:

===================  =============================================================================
EXIF orientation     applied (all eight values); unreadable EXIF counts as upright
grey, palette, YCC   repeated or converted to RGB; colour profiles are ignored, because forensic
                     traces live in the stored numbers
CMYK                 Pillow's plain conversion, Adobe's inverted JPEGs included
alpha                composited over white: ``(c * a + 255 * (255 - a)) / 255``, rounded
16 bit               ``v / 257``, rounded, so that 65535 is 255 (12 bit: ``v / 4095 * 255``)
float                must be in [0, 1]; ``v * 255``, rounded
bool                 False is 0, True is 255
several frames       the first one
===================  =============================================================================

Pillow decodes 16-bit RGB to its high bytes only; those files are read through OpenCV too. Where
the two disagree (rare TIFF layouts), Pillow's high byte stands, at most one level from the rule.

Formats are recognised by their first bytes, never by the file's name.
"""

import hashlib
import io
import os
import re
import stat
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from PIL import Image as PILImage
from PIL.ImageFile import ImageFile

from tamperscope.errors import (
    ConfigError,
    EmptyImageError,
    ImageError,
    ImageTooLargeError,
    ImageValueError,
    MissingExtraError,
    NotAnImageError,
    TruncatedImageError,
    missing_extra,
)

DEFAULT_MAX_PIXELS = 100_000_000
"""Pictures with more pixels are refused unless the caller raises the limit."""

READABLE = "JPEG, PNG, WebP, TIFF, BMP, GIF, JPEG 2000, PNM, HEIC or AVIF"

SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "webp", "tif", "tiff", "bmp", "gif"),
        *("heic", "heif", "avif", "jp2", "j2k", "ppm", "pgm", "pbm", "pnm"),
    )
)
"""Endings by which pictures are picked from a folder. A file that is named is always tried."""

Polarity: TypeAlias = Literal["forged-white", "forged-black"]


@dataclass(frozen=True, eq=False)
class Image:
    """A decoded picture.

    Raises:
        ImageValueError: ``pixels`` is not uint8 (h, w, 3) with both sides positive.
    """

    pixels: NDArray[np.uint8]
    """(h, w, 3) RGB, 0 to 255, contiguous and read-only, in displayed orientation."""
    id: str
    """What to call the picture: its path, or a short content hash."""
    sha256: str
    """Of the file's bytes; for arrays and PIL images of dtype, shape and pixels."""
    format: str | None
    """Such as ``JPEG``; None for arrays."""
    source_mode: str
    """How the picture was stored: a Pillow mode (``;16`` appended for 16-bit colour), or a dtype
    and shape."""
    orientation: int = 1
    """The EXIF orientation that was undone, 1 to 8; 1 = stored upright."""

    def __post_init__(self) -> None:
        pixels = self.pixels
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
            raise ImageValueError(
                f"pixels must be uint8 (h, w, 3), got {pixels.dtype} {pixels.shape}: "
                "use tamperscope.read_image to convert"
            )
        view = np.ascontiguousarray(pixels).view()
        view.setflags(write=False)
        object.__setattr__(self, "pixels", view)

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.pixels.shape[1])

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) in pixels."""
        return self.height, self.width

    @property
    def block_offset(self) -> tuple[int, int] | None:
        """Row and column, 0 to 7, in which the first whole 8x8 block of a JPEG file begins; None
        for other formats, whose pixels may come from anywhere.

        Files begin with whole blocks. Where an orientation turned rows or columns round, what is
        left over at their end comes first.
        """
        if self.format not in ("JPEG", "MPO"):
            return None
        rows, columns = self.orientation in _ROWS_REVERSED, self.orientation in _COLUMNS_REVERSED
        return self.height % 8 if rows else 0, self.width % 8 if columns else 0


ImageSource: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | NDArray[Any] "
    "| PILImage.Image | Image"
)


@dataclass(frozen=True)
class _Decoded:
    samples: NDArray[np.uint8]  # (h, w, 3), or (h, w, 4) with alpha last
    id: str
    sha256: str
    format: str | None
    mode: str
    orientation: int = 1


def read_image(
    source: ImageSource, *, max_pixels: int = DEFAULT_MAX_PIXELS, id: str | None = None
) -> Image:
    """Read a picture from wherever it is, by the rules at the top of this module.

    Args:
        source: a path; an encoded file as bytes; an array (h, w), (h, w, 1), (h, w, 3) or
            (h, w, 4) of uint8, uint16, bool or float in [0, 1]; a PIL image; or an `Image`, which
            comes back as it is.
        max_pixels: refuse pictures with more, before decoding them. TIFF and WebP also stop at
            twice ``PIL.Image.MAX_IMAGE_PIXELS`` (179 million, unless the program changes it).
        id: a name for the picture; by default the path as given, or ``kind:`` and the first 12
            digits of the sha256.

    Raises:
        EmptyImageError: no bytes or no pixels.
        NotAnImageError: no such file, not a regular file, or not in a known format.
        TruncatedImageError: cut off or damaged.
        ImageTooLargeError: more than ``max_pixels``.
        ImageValueError: an array of another dtype or shape, NaN, infinity or out of range.
        MissingExtraError: HEIC or AVIF without its decoder.
    """
    if isinstance(source, Image):
        _check_size(source.height, source.width, source.id, max_pixels)
        return source if id is None else replace(source, id=id)
    decoded = _decode(source, max_pixels)
    return Image(
        pixels=_over_white(decoded.samples),
        id=decoded.id if id is None else id,
        sha256=decoded.sha256,
        format=decoded.format,
        source_mode=decoded.mode,
        orientation=decoded.orientation,
    )


def read_mask(
    source: ImageSource,
    *,
    polarity: Polarity = "forged-white",
    threshold: int = 127,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> NDArray[np.bool_]:
    """Read a ground-truth mask: True = forged, (h, w), in displayed orientation.

    Colour masks are reduced to luma (ITU-R 601); alpha is ignored.

    Args:
        source: as for `read_image`.
        polarity: which end of the grey scale is forged.
        threshold: grey levels above it are white, others black; 0 to 254.
        max_pixels: as for `read_image`.

    Raises:
        ImageError: as for `read_image`; also a mask of only 0 and 1 that the threshold would
            turn all black.
        ConfigError: an unknown polarity or a threshold outside 0 to 254.
    """
    if polarity not in ("forged-white", "forged-black"):
        raise ConfigError(f"polarity {polarity!r} must be 'forged-white' or 'forged-black'")
    if not 0 <= threshold <= 254:
        raise ConfigError(f"mask threshold {threshold} must be in 0..254")
    if isinstance(source, Image):
        name, rgb = source.id, source.pixels
        _check_size(source.height, source.width, name, max_pixels)
    else:
        decoded = _decode(source, max_pixels)
        name, rgb = decoded.id, np.ascontiguousarray(decoded.samples[..., :3])
    grey = np.asarray(PILImage.fromarray(rgb).convert("L"))
    if threshold >= 1 and grey.max() == 1:
        raise ImageValueError(
            f"{name}: the mask holds only 0 and 1, all black at threshold {threshold}: "
            "pass threshold=0 or a bool array"
        )
    white: NDArray[np.bool_] = grey > threshold
    return white if polarity == "forged-white" else ~white


def read_labels(
    source: str | os.PathLike[str] | bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS
) -> NDArray[np.uint8]:
    """Read a label map: the numbers as they are stored, (h, w) uint8, in displayed orientation.

    A palette picture gives its indices, whatever their colours; grey (up to 8 bit) its levels; and
    RGB with three equal channels that channel.

    Args:
        source: a path, or an encoded file as bytes.
        max_pixels: as for `read_image`.

    Raises:
        ImageError: as for `read_image`; also colours, more than 8 bit, or a lossy format: their
            numbers are no labels.
    """
    name = "bytes" if isinstance(source, bytes) else os.fspath(source)
    data = source if isinstance(source, bytes) else _read_file(name, max_pixels)
    picture, kind = _open(data, name, max_pixels)
    with _damage_reported(name, kind):
        picture.load()
        numbers = np.asarray(picture)
        if picture.mode == "RGB" and (numbers == numbers[..., :1]).all():
            numbers = numbers[..., 0]
        if kind == "JPEG" or numbers.ndim != 2 or numbers.dtype not in (np.uint8, np.bool_):
            raise ImageValueError(
                f"{name}: a {kind} picture of mode {picture.mode} holds no label map: "
                "give a palette or 8-bit grey PNG whose numbers are the labels"
            )
        labels = _upright(numbers[..., np.newaxis], _orientation(picture))[..., 0]
    return np.ascontiguousarray(labels, dtype=np.uint8)


def _decode(source: object, max_pixels: int) -> _Decoded:
    if isinstance(max_pixels, bool) or not isinstance(max_pixels, int) or max_pixels < 1:
        raise ConfigError(f"max_pixels must be a positive integer, got {max_pixels!r}")
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels)
    if isinstance(source, PILImage.Image):
        return _from_pil(source, max_pixels)
    if isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)
        digest = hashlib.sha256(data).hexdigest()
        return _from_bytes(data, f"bytes:{digest[:12]}", digest, max_pixels)
    if isinstance(source, str | os.PathLike):
        name = os.fspath(source)
        if isinstance(name, str):
            data = _read_file(name, max_pixels)
            return _from_bytes(data, name, hashlib.sha256(data).hexdigest(), max_pixels)
    raise ImageValueError(
        f"cannot read a picture from a {type(source).__name__}: "
        "pass a path, encoded bytes, a numpy array (h, w, 3) or a PIL image"
    )


# --- files -----------------------------------------------------------------------------------


def longest_file(max_pixels: int) -> int:
    """Bytes of the longest file that is tried, where pictures may have so many pixels."""
    # Four uncompressed 32-bit channels and ample metadata fit; more is no honest picture.
    return 16 * max_pixels + 2**26


def _read_file(name: str, max_pixels: int) -> bytes:
    if re.match(r"[a-z]+://", name, re.IGNORECASE):
        raise NotAnImageError(f"{name}: only local files are read; download it first")
    try:
        info = Path(name).stat()
        # Reading a pipe or a device could block or never end.
        if not stat.S_ISREG(info.st_mode):
            kind = "a folder" if stat.S_ISDIR(info.st_mode) else "not a regular file"
            raise NotAnImageError(
                f"{name or '(empty path)'}: is {kind}; give the path of a picture"
            )
        if info.st_size > longest_file(max_pixels):
            raise ImageTooLargeError(
                f"{name}: {info.st_size:,} bytes cannot be a picture of at most "
                f"{max_pixels:,} pixels; raise max_pixels (--max-pixels) if it is one"
            )
        return Path(name).read_bytes()
    except FileNotFoundError as error:
        raise NotAnImageError(f"{name}: no such file; check the path") from error
    except PermissionError as error:
        raise NotAnImageError(f"{name}: permission denied; make the file readable") from error
    except ImageError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise NotAnImageError(f"{name!r}: cannot be opened ({reason}); check the path") from error


def _from_bytes(data: bytes, name: str, digest: str, max_pixels: int) -> _Decoded:
    picture, kind = _open(data, name, max_pixels)
    with _damage_reported(name, kind):
        deep = _is_16_bit_colour(picture)
        # Asked before loading: TIFF pictures turn themselves then, and forget it.
        turn = getattr(picture, "tag_v2", {}).get(_ORIENTATION, 1)
        mode = picture.mode + ";16" * deep
        picture.load()
        samples = _deep_samples(data, picture, turn) if deep else None
        if samples is None:
            samples = _pil_samples(picture, name)
    return _Decoded(samples, name, digest, picture.format or kind, mode, _orientation(picture))


def _open(data: bytes, name: str, max_pixels: int) -> tuple[ImageFile, str]:
    """The header of an encoded picture, its size checked, and the format its first bytes name."""
    if not data:
        raise EmptyImageError(f"{name}: is empty (0 bytes); get the file again")
    kind = _sniff(data)
    if kind is None:
        raise NotAnImageError(f"{name}: is not a picture; give a {READABLE} file")
    opener = _opener(kind, name)
    with _damage_reported(name, kind), _quiet_header():
        picture = opener(io.BytesIO(data), name)
    _check_size(picture.height, picture.width, name, max_pixels)
    if kind == "JPEG":
        _check_scans(data, picture.height * picture.width, name)
    return picture, kind


_ORIENTATION = 0x0112
# Orientations (CIPA DC-008) by which columns, or rows, are stored in reversed order.
_COLUMNS_REVERSED, _ROWS_REVERSED = (2, 3, 6, 7), (3, 4, 7, 8)

_Opener: TypeAlias = Callable[[io.BytesIO, str], ImageFile]

# Called directly, because PIL.Image.open applies its own pixel limit: a process-wide global.
_OPENERS: dict[str, _Opener] = {
    "JPEG": JpegImagePlugin.jpeg_factory,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "JPEG2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
    "PPM": PpmImagePlugin.PpmImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
}

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (rb"\xff\xd8\xff", "JPEG"),
    (rb"\x89PNG\r\n\x1a\n", "PNG"),
    (rb"RIFF....WEBP", "WEBP"),
    (rb"II[*+]\0|MM\0[*+]", "TIFF"),
    (rb"BM", "BMP"),
    (rb"GIF8[79]a", "GIF"),
    (rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", "JPEG2000"),
    (rb"P[1-6]\s", "PPM"),
)

_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def _sniff(data: bytes) -> str | None:
    for pattern, kind in _MAGIC:
        if re.match(pattern, data, re.DOTALL):
            return kind
    if data[4:8] != b"ftyp":
        return None
    box = data[8 : min(int.from_bytes(data[:4], "big"), 1024)]
    # The second word of the box is a version number; the others are brands.
    brands = {box[i : i + 4] for i in range(0, len(box), 4) if i != 4}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    return "HEIF" if brands & _HEIF_BRANDS else None


def _opener(kind: str, name: str) -> _Opener:
    if kind == "HEIF":
        return _heif_opener(name)
    if kind == "AVIF" and not AvifImagePlugin.SUPPORTED:
        raise MissingExtraError(
            f"{name}: reading AVIF needs a newer Pillow: pip install --upgrade pillow"
        )
    return _OPENERS[kind]


def _heif_opener(name: str) -> _Opener:
    try:
        import pillow_heif
    except ImportError as error:
        raise missing_extra(f"{name}: reading HEIC", "heif") from error
    opener: _Opener = pillow_heif.HeifImageFile
    return opener


_header_lock = threading.Lock()


@contextmanager
def _quiet_header() -> Iterator[None]:
    # Pillow warns about corrupt metadata that has no bearing on the pixels. Swapping the warning
    # filters is not thread-safe by itself, hence the lock around this short step.
    with _header_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _damage_reported(name: str, kind: str) -> Iterator[None]:
    # Decoders meet hostile bytes with any exception there is: struct.error, zlib.error,
    # ValueError, RuntimeError... All of them mean the same to the caller.
    try:
        yield
    except ImageError:
        raise
    except PILImage.DecompressionBombError as error:
        raise ImageTooLargeError(
            f"{name}: has more pixels than Pillow decodes (PIL.Image.MAX_IMAGE_PIXELS); "
            "make it smaller first"
        ) from error
    except MemoryError as error:
        raise ImageTooLargeError(
            f"{name}: does not fit in memory; make it smaller first"
        ) from error
    except Exception as error:
        ends_early = isinstance(error, struct.error | EOFError | IndexError)
        reason = "it ends too early" if ends_early else _first_line(error)
        raise TruncatedImageError(
            f"{name}: is a truncated or damaged {kind} file ({reason}); get the file again"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


_SCANNED = 4_000_000_000


def _check_scans(data: bytes, pixels: int, name: str) -> None:
    """A progressive JPEG goes over all its pixels once per scan, and a scan can be as short as a
    hundred bytes: a small file could keep a decoder busy for hours."""
    # Inside coded data 0xff is always followed by 0; what else looks like a scan are those of
    # embedded thumbnails, far too few to matter.
    scans = data.count(b"\xff\xda")
    if scans > 16 and scans * pixels > _SCANNED:
        raise ImageTooLargeError(
            f"{name}: {scans:,} scans of {pixels:,} pixels take too long to decode; "
            "save it again as an ordinary JPEG"
        )


def _check_size(height: int, width: int, name: str, max_pixels: int) -> None:
    if height < 1 or width < 1:
        raise EmptyImageError(f"{name}: has no pixels ({height} x {width}); get the picture again")
    if height * width > max_pixels:
        raise ImageTooLargeError(
            f"{name}: {width} x {height} is {height * width:,} pixels, more than the limit of "
            f"{max_pixels:,}; make it smaller or raise max_pixels (--max-pixels)"
        )


# --- from PIL and arrays ---------------------------------------------------------------------


def _from_pil(picture: PILImage.Image, max_pixels: int) -> _Decoded:
    name = os.fspath(getattr(picture, "filename", "") or "PIL image")
    _check_size(picture.height, picture.width, str(name), max_pixels)
    mode = picture.mode
    with _damage_reported(str(name), picture.format or "PIL"):
        picture.load()
        samples = _pil_samples(picture, str(name))
    digest = _array_digest(samples)
    turned = _orientation(picture)
    return _Decoded(samples, f"pil:{digest[:12]}", digest, picture.format, mode, turned)


def _from_array(array: NDArray[Any], max_pixels: int) -> _Decoded:
    array = np.asarray(array)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.ndim not in (2, 3):
        raise ImageValueError(
            f"array has shape {array.shape}: pass one picture, (h, w), (h, w, 3) or (h, w, 4)"
        )
    _check_size(array.shape[0], array.shape[1], f"array {array.shape}", max_pixels)
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4):
        hint = "; channels come last: array.transpose(1, 2, 0)" if array.shape[0] in (1, 3) else ""
        raise ImageValueError(
            f"array has shape {array.shape}: pass (h, w), (h, w, 1), (h, w, 3) or (h, w, 4){hint}"
        )
    samples = _three_channels(_to_8_bit(array, "array"))
    digest = _array_digest(array)
    mode = f"{array.dtype.name} {array.shape}"
    return _Decoded(samples, f"array:{digest[:12]}", digest, None, mode)


def _array_digest(array: NDArray[Any]) -> str:
    # Byte order is a matter of storage, not of content.
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    digest = hashlib.sha256(f"{array.dtype.name} {array.shape} ".encode())
    digest.update(little.data)
    return digest.hexdigest()


# --- samples ---------------------------------------------------------------------------------


def _from_16_bit(array: NDArray[Any]) -> NDArray[np.uint8]:
    # v / 257, rounded, for every v below 65536.
    scaled = array.astype(np.uint32)
    scaled *= 255
    scaled += 32_895
    scaled >>= 16
    return scaled.astype(np.uint8)


def _to_8_bit(array: NDArray[Any], name: str) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint16:
        return _from_16_bit(array)
    if array.dtype.kind != "f":
        raise ImageValueError(
            f"{name} has dtype {array.dtype}: convert to uint8 (0..255), uint16 (0..65535), "
            "bool or float (0..1)"
        )
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ImageValueError(f"{name}: holds NaN or infinity; replace them by finite values")
    if low < 0.0 or high > 1.0:
        raise ImageValueError(
            f"{name}: spans {low:g} to {high:g}: floats must be in [0, 1]; "
            "rescale them, or convert to uint8"
        )
    levels: NDArray[np.uint8] = np.rint(array * array.dtype.type(255)).astype(np.uint8)
    return levels


def _three_channels(samples: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if samples.ndim == 2:
        samples = samples[..., np.newaxis]
    return np.repeat(samples, 3, axis=2) if samples.shape[2] == 1 else samples


def _strips(height: int, width: int) -> Iterator[slice]:
    """Rows, about a million pixels at a time: what is computed on the way then needs no memory to
    speak of, whatever the picture's size."""
    step = max(1, 2**20 // width)
    return (slice(top, min(top + step, height)) for top in range(0, height, step))


def _over_white(samples: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(h, w, 3) in memory of its own; alpha, if any, composited over white."""
    if samples.shape[2] == 3:
        return np.array(samples, order="C")
    white = np.empty((*samples.shape[:2], 3), np.uint8)
    for rows in _strips(*samples.shape[:2]):
        colour, alpha = samples[rows, :, :3], samples[rows, :, 3:].astype(np.uint16)
        # (c a + 255 (255 - a)) / 255 stays below 2**16, so 16 bits are enough.
        blended = colour * alpha + (255 - alpha) * np.uint16(255) + np.uint16(127)
        # Division by 255, without dividing.
        blended += (blended >> np.uint16(8)) + np.uint16(1)
        white[rows] = blended >> np.uint16(8)
    return white


def _pil_samples(picture: PILImage.Image, name: str) -> NDArray[np.uint8]:
    """uint8 (h, w, 3 or 4) of a loaded PIL image, upright."""
    if picture.mode.startswith("I;16"):
        samples = _three_channels(_to_8_bit(_grey_16(picture), name))
    elif picture.mode == "F":
        samples = _three_channels(_to_8_bit(np.asarray(picture), name))
    elif picture.mode in ("I", "LAB"):
        raise ImageValueError(
            f"{name}: mode {picture.mode} (32-bit integers or Lab) has no fixed white point: "
            "convert it to 8- or 16-bit grey or RGB first"
        )
    else:
        premultiplied = {"La": "LA", "RGBa": "RGBA"}.get(picture.mode)
        straight = picture.convert(premultiplied) if premultiplied else picture
        alpha = straight.mode in ("LA", "PA", "RGBA") or "transparency" in straight.info
        wanted = "RGBA" if alpha else "RGB"
        samples = _pixels(straight if straight.mode == wanted else straight.convert(wanted))
    return _upright(samples, _orientation(picture))


def _pixels(picture: PILImage.Image) -> NDArray[np.uint8]:
    """(h, w, c) of a loaded picture of bytes; `numpy.asarray` would hold it three times over."""
    pixels = np.empty((picture.height, picture.width, len(picture.getbands())), np.uint8)
    for rows in _strips(picture.height, picture.width):
        pixels[rows] = np.asarray(picture.crop((0, rows.start, picture.width, rows.stop)))
    return pixels


def _grey_16(picture: PILImage.Image) -> NDArray[np.uint16]:
    grey = np.asarray(picture).astype(np.uint16)
    tags = getattr(picture, "tag_v2", {})
    if tags.get(TiffImagePlugin.BITSPERSAMPLE) == (12,):
        grey = np.rint(grey * (65535 / 4095)).astype(np.uint16)
    if tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0:  # white is zero
        grey = np.uint16(65535) - grey
    return grey


def _is_16_bit_colour(picture: ImageFile) -> bool:
    if picture.mode not in ("RGB", "RGBA"):
        return False
    args = [tile.args[0] if isinstance(tile.args, tuple) else tile.args for tile in picture.tile]
    return bool(args) and all(re.match(r"(RGB|RGBA|LA);16", str(rawmode)) for rawmode in args)


def _deep_samples(data: bytes, picture: ImageFile, turn: object) -> NDArray[np.uint8] | None:
    """All 16 bits of a colour picture that Pillow has loaded, reduced by the rule and upright."""
    import cv2

    array: Any = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None or array.dtype != np.uint16 or array.ndim != 3 or array.shape[2] < 3:
        return None
    # OpenCV has turned some TIFF pictures already and others not, and may read a rare layout
    # its own way. What it read is believed only where its high bytes are Pillow's.
    for candidate in (array, _upright(array, _valid_orientation(turn))):
        if (levels := _reduced_like(candidate, picture)) is not None:
            return _upright(levels, _orientation(picture))
    return None


def _reduced_like(array: NDArray[np.uint16], picture: ImageFile) -> NDArray[np.uint8] | None:
    """16-bit BGR or BGRA as 8-bit RGB or RGBA by the rule, or None if its high bytes are not those
    of the picture."""
    shape = (picture.height, picture.width, len(picture.getbands()))
    if array.shape != shape:
        return None
    import cv2

    swap = cv2.COLOR_BGR2RGB if shape[2] == 3 else cv2.COLOR_BGRA2RGBA
    levels = np.empty(shape, np.uint8)
    for rows in _strips(*shape[:2]):
        colours: Any = cv2.cvtColor(np.ascontiguousarray(array[rows]), swap)
        high = picture.crop((0, rows.start, picture.width, rows.stop))
        if not np.array_equal(colours >> 8, np.asarray(high)):
            return None
        levels[rows] = _from_16_bit(colours)
    return levels


def _orientation(picture: PILImage.Image) -> int:
    """EXIF orientation of a loaded picture, 1 to 8; TIFF pictures are upright by then."""
    try:
        with _quiet_header():
            value = picture.getexif().get(_ORIENTATION, 1)
    except Exception:  # corrupt EXIF fails in as many ways as corrupt pixels, and matters less
        return 1
    return _valid_orientation(value)


def _valid_orientation(value: object) -> int:
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(samples: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undo an EXIF orientation (CIPA DC-008, tag 0x0112) on an (h, w, c) array."""
    if orientation >= 5:
        samples = samples.transpose(1, 0, 2)
    if orientation in _COLUMNS_REVERSED:
        samples = samples[:, ::-1]
    if orientation in _ROWS_REVERSED:
        samples = samples[::-1]
    return samples
