"""Templates become text: where they are found, and what is said when one is wrong.

What belongs here: jinja2, kept strict. Must not know which servers there are, nor where the text
goes. A template is read from the user's folder if it is there, else from the one that comes with
the package: `SERVER/FILE.j2`.
"""

from __future__ import annotations

import importlib.resources
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import CodeType, TracebackType
from typing import Any

import jinja2
from jinja2 import sandbox

from consulfwd.errors import TemplateError

SUFFIX = ".j2"
# Characters of what is told of an error.
_TOLD = 400
# Compiled templates.
_KEPT = 100


def refuse(text: str) -> str:
    """End the rendering: what is wanted cannot be written. The error names template and line."""
    raise ValueError(text)


def packaged() -> Path:
    """Return the folder of the templates that come with the package."""
    return Path(str(importlib.resources.files("consulfwd").joinpath("bind-templates")))


class Renderer:
    """Renders templates of these folders, the first that has one wins; then packaged ones.

    Names that are not defined, and values with line breaks or other control characters, are
    errors: nothing a stranger registered may end a line of a configuration. `free` lets such
    values pass (files of any kind, `consulfwd render`). Templates cannot reach into Python.
    """

    def __init__(
        self,
        folders: Sequence[Path] = (),
        *,
        free: bool = False,
        names: Mapping[str, Callable[..., Any]] | None = None,
    ) -> None:
        paths = [*folders, packaged()]
        self._environment = sandbox.ImmutableSandboxedEnvironment(
            loader=_Folders([str(path) for path in paths]),
            undefined=jinja2.StrictUndefined,
            keep_trailing_newline=True,
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,
            finalize=None if free else _one_line,
            bytecode_cache=_FREE if free else _STRICT,
        )
        self._environment.globals.update({"refuse": refuse, **(names or {})})

    def render(self, name: str, values: Mapping[str, object]) -> str:
        """Return the text made of the template `name`. Raises TemplateError."""
        with _told(name):
            return self._environment.get_template(name).render(values)

    def render_file(self, path: Path, values: Mapping[str, object]) -> str:
        """Return the text made of a template anywhere. Raises TemplateError."""
        try:
            source = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise TemplateError(str(path), None, f"cannot be read: {reason}") from None
        with _told(str(path)):
            # Unlike with `from_string`, errors name the file.
            code = self._environment.compile(source, path.name, str(path))
            names = self._environment.make_globals(None)
            return jinja2.Template.from_code(self._environment, code, names).render(values)


class _Compiled(jinja2.BytecodeCache):
    """Templates compiled before, by name and text: a round that changes nothing compiles none."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        bucket.code = self._made.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        while len(self._made) >= _KEPT:
            self._made.pop(next(iter(self._made)), None)
        assert bucket.code is not None
        self._made[bucket.key, bucket.checksum] = bucket.code


# What values may hold is looked at in the code that is made.
_FREE, _STRICT = _Compiled(), _Compiled()


class _Folders(jinja2.FileSystemLoader):
    """Reads templates; one of the user's that cannot be read is not passed over."""

    def get_source(
        self, environment: jinja2.Environment, template: str
    ) -> tuple[str, str, Callable[[], bool]]:
        for folder in self.searchpath:
            with suppress(FileNotFoundError, NotADirectoryError):
                Path(folder, template).stat()
                break
        return super().get_source(environment, template)


@contextmanager
def _told(template: str) -> Iterator[None]:
    """Whatever goes wrong is a TemplateError with its place."""
    try:
        yield
    except TemplateError:
        raise
    except jinja2.TemplateNotFound as error:
        raise TemplateError(str(error.name), None, "there is no such template") from None
    except jinja2.TemplateSyntaxError as error:
        where = error.filename or error.name or template
        raise TemplateError(where, error.lineno, error.message or "syntax error") from None
    except Exception as error:
        where, line = _place(error.__traceback__, template)
        raise TemplateError(where, line, _said(error)) from error


def _one_line(value: object) -> object:
    """Let only such values into a configuration that stay on their line."""
    if not isinstance(value, str) or value.isprintable():
        return value
    if any(unicodedata.category(one) == "Cc" for one in value):
        raise ValueError(f"a value holds control characters: {value[:60]!r}")
    return value


def _said(error: Exception) -> str:
    """Return what is wrong as one line: values that strangers wrote may be part of it."""
    message = error.message if isinstance(error, jinja2.UndefinedError) else str(error)
    if isinstance(error, OSError) and error.filename:
        message = f"{error.filename} cannot be read: {error.strerror}"
    text = "".join(one if one.isprintable() else "?" for one in message or "")
    cut = text if len(text) <= _TOLD else text[:_TOLD] + "..."
    return cut or type(error).__name__


def _place(traceback: TracebackType | None, name: str) -> tuple[str, int | None]:
    """Return the file and line of the innermost frame that is a template's.

    jinja2 gives such frames the names and lines of templates.
    """
    found: tuple[str, int | None] = (name, None)
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if code.co_filename.endswith(SUFFIX) or code.co_filename == name:
            found = code.co_filename, traceback.tb_lineno
        traceback = traceback.tb_next
    return found
