"""The status page: its files, as a server hands them out.

They are plain and complete: no build, nothing from elsewhere, no style or script within the HTML.
What they show comes from /events, which is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}


def assets() -> Mapping[str, tuple[str, bytes]]:
    """Return path -> (content type, octets) of all there is; "/" is the page itself."""
    found = {}
    for file in resources.files(__name__).iterdir():
        kind = _TYPES.get(file.name[file.name.rfind(".") :])
        if kind is not None:
            path = "/" if file.name == "index.html" else f"/{file.name}"
            found[path] = kind, file.read_bytes()
    return found
