"""The page: a handful of files, read once when the service starts.

Requests are looked up by name in a table; no path a client sends ever reaches the file system.
"""

import hashlib
from dataclasses import dataclass
from importlib.resources import files

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from tamperscope.report import overlay as draw

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
}


@dataclass(frozen=True)
class _Asset:
    data: bytes
    type: str

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.data).hexdigest()[:32]}"'


def add_page(app: FastAPI) -> None:
    """Serve the page at ``/`` and its parts under ``/static/``."""
    for name, asset in _load().items():
        path = "/" if name == "index.html" else f"/static/{name}"
        _add(app, path, asset)
        if name == "icon.svg":
            _add(app, "/favicon.ico", asset)


def _add(app: FastAPI, path: str, asset: _Asset) -> None:
    headers = {"ETag": asset.etag, "Cache-Control": "no-cache"}

    async def serve(request: Request) -> Response:
        if request.headers.get("if-none-match") == asset.etag:
            return Response(status_code=304, headers=headers)
        return Response(asset.data, headers=headers, media_type=asset.type)

    app.add_api_route(path, serve, methods=["GET", "HEAD"], include_in_schema=False)


def _load() -> dict[str, _Asset]:
    folder = files("tamperscope.web").joinpath("static")
    assets = {}
    for file in folder.iterdir():
        ending = file.name.rpartition(".")[2]
        if ending in _TYPES:
            assets[file.name] = _Asset(file.read_bytes(), _TYPES[ending])
    # The page takes the colors from the picture of the scale: one table for every output.
    assets["scale.png"] = _Asset(draw.encode_png(draw.color_bar(256, 1)), _TYPES["png"])
    return assets
