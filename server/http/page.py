"""`/`: a page on which a person tries the model out, by the paths that every caller asks."""

from pathlib import Path
from typing import Final

from aiohttp import web

_FOLDER: Final = Path(__file__).parent / "static"
FILES: Final = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
"""Path -> file and media type."""

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # another build of the server has another page
}


class PageRoutes:
    """The files, which are read once."""

    def __init__(self) -> None:
        self._contents = {path: (_FOLDER / name).read_bytes() for path, (name, _) in FILES.items()}

    def add_to(self, router: web.UrlDispatcher) -> None:
        for path in FILES:
            router.add_get(path, self.get_file)

    async def get_file(self, request: web.Request) -> web.Response:
        _, media_type = FILES[request.path]
        return web.Response(
            body=self._contents[request.path], content_type=media_type, charset="utf-8", headers=HEADERS
        )
