"""Pictures nobody wishes to receive, made from nothing: for tests, or for a look at them.

``python tests/hostile.py FOLDER`` writes all of them there. `BROKEN` must each be refused with
the named error; `ODD` are valid pictures in unusual clothes and must all be read; of `doubtful`
ones a decoder may make what it can. `heavy` are pictures just within the limits that cost the most.
"""

import gzip
import io
import random
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tamperscope import errors


@dataclass(frozen=True)
class Broken:
    name: str
    data: bytes
    error: type[errors.ImageError]


def photo(height: int = 48, width: int = 64, seed: int = 0) -> NDArray[np.uint8]:
    """RGB uint8 with smooth parts and noise: compresses like a photo, not like a test card."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    waves = [np.sin(x / a + y / b) for a, b in ((9.0, 14.0), (17.0, 8.0), (12.0, 23.0))]
    noisy = 127.0 + 90.0 * np.stack(waves, axis=-1) + rng.normal(0.0, 6.0, (height, width, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def encode(pixels: Any, kind: str, **options: Any) -> bytes:
    """An array or PIL image as the bytes of a file."""
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    picture.save(buffer, format=kind, **options)
    return buffer.getvalue()


def png_chunk(tag: bytes, payload: bytes) -> bytes:
    checksum = zlib.crc32(tag + payload)
    return struct.pack(">I", len(payload)) + tag + payload + struct.pack(">I", checksum)


def png_claiming(width: int, height: int, data: bytes = b"\0" * 64) -> bytes:
    """A tiny PNG whose header declares any size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(data))
    return b"\x89PNG\r\n\x1a\n" + chunks + png_chunk(b"IEND", b"")


def gif_claiming(width: int, height: int) -> bytes:
    screen = b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0" + b"\0" * 6
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\0"
    return screen + frame + b";"


def bmp_claiming(width: int, height: int) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 16, 0, 0, 54) + header + b"\0" * 16


def tiff_claiming(width: int, height: int) -> bytes:
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: 16}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return b"II*\0" + struct.pack("<I", 24) + b"\0" * 16 + directory


def jpeg_claiming(width: int, height: int) -> bytes:
    """A real JPEG whose frame header has been rewritten."""
    data = bytearray(encode(photo(), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def webp_claiming(width: int, height: int) -> bytes:
    """An extended WebP whose canvas is declared larger than its frame."""
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    frame = encode(photo(), "WEBP")[12:]
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\0" * 4 + canvas + frame
    return b"RIFF" + struct.pack("<I", len(body)) + body


def avif_claiming(width: int, height: int) -> bytes:
    """A real AVIF whose declared extent has been rewritten."""
    data = bytearray(encode(photo(), "AVIF"))
    extent = data.index(b"ispe") + 8
    data[extent : extent + 8] = struct.pack(">II", width, height)
    return bytes(data)


def ppm_claiming(width: int, height: int) -> bytes:
    return b"P6 %d %d 255\n" % (width, height) + bytes(64)


def jpeg_of_scans(width: int, height: int, scans: int) -> bytes:
    """A progressive JPEG whose last scan is there so many times: small, and slow to decode."""
    data = encode(Image.new("RGB", (width, height), (90, 120, 150)), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * scans + b"\xff\xd9"


def png_16_bit(width: int, height: int) -> bytes:
    """A 16-bit RGBA PNG of one colour, made without holding its pixels."""
    header = struct.pack(">IIBBBBB", width, height, 16, 6, 0, 0, 0)
    packer, row = zlib.compressobj(1), b"\0" + b"\x12\x34" * 4 * width
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def tiff_12_bit(values: list[int]) -> bytes:
    """One row of 12-bit grey, an even number of samples, most significant bits first."""
    pairs = zip(values[::2], values[1::2], strict=True)
    packed = b"".join(((a << 12) | b).to_bytes(3, "big") for a, b in pairs)
    tags = {256: len(values), 257: 1, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1}
    tags[279] = len(packed)
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return b"II*\0" + struct.pack("<I", 8 + len(packed)) + packed + directory


def _truncated() -> Iterator[Broken]:
    pixels = photo()
    encoders: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": 90},
        "PNG": {},
        "WEBP": {"quality": 90},
        "TIFF": {"compression": "tiff_lzw"},
        "BMP": {},
        "GIF": {},
        "AVIF": {},
    }
    for kind, options in encoders.items():
        data = encode(pixels, kind, **options)
        for percent in (20, 50, 90):
            cut = data[: len(data) * percent // 100]
            yield Broken(f"{kind.lower()}-cut-{percent}", cut, errors.TruncatedImageError)


def _bombs() -> Iterator[Broken]:
    makers: dict[str, Callable[[int, int], bytes]] = {
        "png": png_claiming,
        "gif": gif_claiming,
        "bmp": bmp_claiming,
        "tiff": tiff_claiming,
        "jpeg": jpeg_claiming,
        "ppm": ppm_claiming,
    }
    for kind, make in makers.items():
        yield Broken(f"{kind}-bomb", make(60_000, 60_000), errors.ImageTooLargeError)
    yield Broken("png-bomb-max", png_claiming(2**31 - 1, 2**31 - 1), errors.ImageTooLargeError)
    yield Broken("webp-bomb", webp_claiming(16_383, 16_383), errors.ImageTooLargeError)
    yield Broken("avif-bomb", avif_claiming(60_000, 60_000), errors.ImageError)
    yield Broken("jpeg-scan-bomb", jpeg_of_scans(2000, 1500, 2000), errors.ImageTooLargeError)
    bomb = png_claiming(60_000, 60_000)
    yield Broken("png-bomb-gzipped", gzip.compress(bomb, mtime=0), errors.NotAnImageError)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("photo.png", bomb)
    yield Broken("png-bomb-zipped", packed.getvalue(), errors.NotAnImageError)


def _nonsense() -> Iterator[Broken]:
    rng = random.Random(0)
    yield Broken("empty", b"", errors.EmptyImageError)
    yield Broken("one-byte", b"\xff", errors.NotAnImageError)
    yield Broken("random", rng.randbytes(4096), errors.NotAnImageError)
    yield Broken("zeros", bytes(4096), errors.NotAnImageError)
    yield Broken("text", b"Dear sir or madam,\n" * 20, errors.NotAnImageError)
    yield Broken("pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", errors.NotAnImageError)
    yield Broken("svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>', errors.NotAnImageError)
    yield Broken("zip", b"PK\x03\x04" + rng.randbytes(200), errors.NotAnImageError)
    yield Broken("psd", b"8BPS\0\x01" + bytes(100), errors.NotAnImageError)
    yield Broken("jpeg-magic-only", b"\xff\xd8\xff\xe0", errors.TruncatedImageError)
    yield Broken("png-magic-only", b"\x89PNG\r\n\x1a\n", errors.TruncatedImageError)
    yield Broken("tiff-magic-only", b"II*\0", errors.TruncatedImageError)
    noise = rng.randbytes(2000)
    yield Broken("jpeg-then-noise", b"\xff\xd8\xff" + noise, errors.TruncatedImageError)
    yield Broken("png-then-noise", b"\x89PNG\r\n\x1a\n" + noise, errors.TruncatedImageError)
    yield Broken("png-short-data", png_claiming(64, 64), errors.TruncatedImageError)
    yield Broken("png-no-width", png_claiming(0, 10), errors.ImageError)
    for brand in (b"heic", b"mif1", b"avif"):
        box = b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0" + brand + b"miaf"
        yield Broken(f"{brand.decode()}-then-noise", box + noise, errors.TruncatedImageError)
    for name, value in (("nan", np.nan), ("infinity", np.inf), ("large", 7.0)):
        floats = np.full((8, 9), value, np.float32)
        yield Broken(f"tiff-{name}", encode(floats, "TIFF"), errors.ImageValueError)


def doubtful() -> Iterator[tuple[str, bytes]]:
    """Cut and spoiled in places where some decoders still find something."""
    rng = random.Random(1)
    kinds = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "JPEG2000", "PPM")
    for kind in kinds:
        data = encode(photo(), kind)
        for tenth in range(10):
            yield f"{kind.lower()}-cut-at-{tenth}-tenths", data[: len(data) * tenth // 10]
        for missing in (1, 2, 4, 12):
            yield f"{kind.lower()}-less-{missing}", data[:-missing]
        for number in range(4):
            spoiled = bytearray(data)
            for _ in range(1 + len(data) // 100):
                spoiled[rng.randrange(len(spoiled))] = rng.randrange(256)
            yield f"{kind.lower()}-spoiled-{number}", bytes(spoiled)
    yield "jpeg-wide", jpeg_claiming(4000, 48)
    yield "jpeg-narrow", jpeg_claiming(3, 3)
    jpeg = encode(photo(), "JPEG")
    for marker in (0xC4, 0xD8, 0xDB, 0xDD, 0xE0, 0xFE):
        swapped = jpeg.replace(b"\xff\xc0", bytes((0xFF, marker)), 1)
        yield f"jpeg-frame-as-{marker:02x}", swapped
    yield "png-low", png_claiming(64, 1, zlib.compress(bytes(10**6)))
    texts = b"".join(
        png_chunk(b"zTXt", b"t\0\0" + zlib.compress(bytes(2**20), 9)) for _ in range(100)
    )
    png = encode(photo(), "PNG")
    yield "png-text-bomb", png[:33] + texts + png[33:]
    profile = b"p\0\0" + zlib.compress(bytes(2**26), 9)
    yield "png-profile-bomb", png[:33] + png_chunk(b"iCCP", profile) + png[33:]


def _odd() -> Iterator[tuple[str, bytes]]:
    pixels = photo()
    rgb = Image.fromarray(pixels)
    alpha = np.dstack([pixels, np.arange(48 * 64).reshape(48, 64).astype(np.uint8)])
    grey16 = (pixels[..., 0].astype(np.uint16) * 257) ^ 0x5A
    rgb16 = (pixels.astype(np.uint16) * 257) ^ 0x5A
    yield "grey.png", encode(pixels[..., 0], "PNG")
    yield "bilevel.png", encode(rgb.convert("1"), "PNG")
    yield "palette.png", encode(rgb.convert("P"), "PNG")
    yield "palette-clear.png", encode(rgb.convert("P"), "PNG", transparency=3)
    yield "grey-alpha.png", encode(rgb.convert("LA"), "PNG")
    yield "rgba.png", encode(alpha, "PNG")
    yield "rgb-key.png", encode(rgb, "PNG", transparency=(1, 2, 3))
    yield "grey16.png", encode(grey16, "PNG")
    yield "rgb16.png", cv2.imencode(".png", rgb16)[1].tobytes()
    yield "rgba16.png", cv2.imencode(".png", np.dstack([rgb16, grey16]))[1].tobytes()
    yield "rgb16.tif", cv2.imencode(".tif", rgb16)[1].tobytes()
    yield "grey16.tif", encode(grey16, "TIFF")
    yield "cmyk.tif", encode(rgb.convert("CMYK"), "TIFF")
    yield "float.tif", encode((pixels[..., 0] / 255.0).astype(np.float32), "TIFF")
    yield "pages.tif", encode(rgb, "TIFF", save_all=True, append_images=[rgb.rotate(90)])
    yield "cmyk.jpg", encode(rgb.convert("CMYK"), "JPEG")
    yield "grey.jpg", encode(pixels[..., 0], "JPEG")
    yield "progressive.jpg", encode(rgb, "JPEG", progressive=True)
    yield "wrong-extension.gif", encode(rgb, "JPEG")
    yield "animated.gif", encode(rgb, "GIF", save_all=True, append_images=[rgb.rotate(180)])
    yield "animated.webp", encode(rgb, "WEBP", save_all=True, append_images=[rgb.rotate(180)])
    yield "alpha.webp", encode(alpha, "WEBP", lossless=True)
    yield "one-pixel.png", encode(pixels[:1, :1], "PNG")
    yield "row.png", encode(pixels[:1], "PNG")
    yield "column.jpg", encode(pixels[:, :1], "JPEG")
    yield "photo.avif", encode(rgb, "AVIF")
    yield "photo.jp2", encode(rgb, "JPEG2000")
    yield "photo.ppm", encode(rgb, "PPM")
    yield (
        "huge-exif.jpg",
        encode(rgb, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01" * 65_000),
    )
    yield "looping-exif.jpg", encode(rgb, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\x08\0\0\0")
    yield "junk-profile.jpg", encode(rgb, "JPEG", icc_profile=bytes(range(256)) * 300)
    yield "junk-profile.png", encode(rgb, "PNG", icc_profile=b"not a profile")
    yield "palette-alphas.png", encode(rgb.convert("P"), "PNG", transparency=bytes(range(56, 256)))
    yield "animated.png", encode(rgb, "PNG", save_all=True, append_images=[rgb.rotate(90)])
    yield "bad-exif.jpg", encode(rgb, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01")


BROKEN: list[Broken] = [*_truncated(), *_bombs(), *_nonsense()]
ODD: dict[str, bytes] = dict(_odd())


def heavy() -> Iterator[tuple[str, bytes]]:
    """Under 20 MB and 100 million pixels, and as dear as a picture can be for it."""
    side = 9_999
    yield "16-bit.png", png_16_bit(side, side)
    yield "alpha.png", encode(Image.new("RGBA", (side, side), (1, 2, 3, 4)), "PNG")
    yield "scans.jpg", jpeg_of_scans(side, side, 29)
    yield "large.webp", encode(Image.new("RGB", (side, side), (1, 2, 3)), "WEBP")
    yield "large.jp2", encode(Image.new("RGB", (9_000, 9_000), (1, 2, 3)), "JPEG2000")
    yield "large.gif", encode(Image.new("P", (side, side)), "GIF")
    yield "words.ppm", b"P3 1400 1400 255\n" + b"1 2 3 " * (1400 * 1400)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    either = ODD | dict(doubtful())
    for broken in BROKEN:
        (folder / f"{broken.name}.bin").write_bytes(broken.data)
    for name, data in either.items():
        (folder / name).write_bytes(data)
    print(f"{len(BROKEN)} broken, {len(either)} odd or doubtful pictures in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
