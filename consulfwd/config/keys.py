"""What a section of the settings is: a class whose keys each have a reader, default and help.

Which keys there are stands in `sections` and `settings`, what readers there are in `readers`.
Sections are no dataclasses: the methods of those are written and compiled anew at each start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, NoReturn, TypeVar

from consulfwd.config.objections import KeyPath, Objection, dotted
from consulfwd.errors import ConfigError, Problem

if TYPE_CHECKING:
    from typing_extensions import Self, dataclass_transform
else:

    def dataclass_transform(**_: object) -> Callable[[type], type]:
        """Tells type checkers how a class is constructed, and them alone."""
        return lambda made: made


MAX_OBJECTIONS = 100

# For a key that must be given.
REQUIRED: Any = object()

Shape = Mapping[str, Any]
TEXT: Shape = {"type": "string"}


class Objections(list[Objection]):
    """What does not fit in settings of kind `root`; no more is kept than `most`."""

    def __init__(self, root: type[Section], most: int = MAX_OBJECTIONS) -> None:
        super().__init__()
        self._root = root
        self._most = most

    def add(self, path: KeyPath, what: str, mend: str) -> None:
        """Add what is wrong with the value at `path`."""
        if len(self) < self._most:
            self.append(Objection(path, what, mend))

    def add_unknown(self, path: KeyPath, siblings: list[str]) -> None:
        """Add that there is no such key, and which one may have been meant."""
        if len(self) >= self._most:
            return
        name = str(path[-1])
        mend = suggestion(name.lower().replace("-", "_"), siblings)
        if not mend:
            elsewhere = {known[-1]: dotted(known) for known, _ in leaves(self._root)}
            mend = f"did you mean {elsewhere[name]}?" if name in elsewhere else ""
        self.add(path, "unknown key", mend or f"known here: {', '.join(siblings)}")


class Reader(NamedTuple):
    """How the values of a key are read, and what can be said of them without reading one.

    `kind` is "text", "typed" (a number, true or false), "list" or "mapping"; `limits` are in
    words; `section` is what the value consists of, where that is keys of their own. `shape` is
    the limits in the words of JSON Schema; there a section stands for its own shape ("$ref").
    """

    read: Callable[[object, KeyPath, Objections], Any]
    kind: str = "text"
    limits: str = ""
    section: type[Section] | None = None
    shape: Shape = TEXT


class Key(NamedTuple):
    """One key of a section. The default is given as a file would spell it."""

    reader: Reader
    help: str
    default: Any


def key(reader: Reader, help: str = "", *, default: Any = REQUIRED) -> Any:
    """Declare a key in the body of a section."""
    return Key(reader, help, default)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(key,))
class Section:
    """A group of settings that cannot be changed. Its keys are what its body declares by `key`.

    It is made of its keys by name, ready-made or as a file spells them, and raises ConfigError
    with everything that is wrong with them.
    """

    _keys: ClassVar[dict[str, Key]] = {}

    def __init_subclass__(cls) -> None:
        cls._keys = {name: one for name, one in vars(cls).items() if isinstance(one, Key)}

    def __init__(self, **values: Any) -> None:
        objections = Objections(type(self))
        self.__dict__.update(_read_keys(type(self), values, (), objections))
        if objections or (objections := [*self.contradictions()]):  # type: ignore[assignment]
            raise ConfigError([Problem(dotted(one.path), one.what, one.mend) for one in objections])

    def contradictions(self) -> Iterable[Objection]:
        """Return what must not be, though each value by itself may."""
        return ()

    def replace(self, **values: Any) -> Self:
        """Return the same with other values for some keys."""
        return type(self)(**{**self.__dict__, **values})

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"settings cannot be changed: {name}")

    def __eq__(self, other: object) -> bool:
        return self.__dict__ == other.__dict__ if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        values = self.__dict__.values()
        return hash(tuple(frozenset(v.items()) if isinstance(v, dict) else v for v in values))

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{type(self).__name__}({values})"


Made = TypeVar("Made", bound=Section)


def keys_of(section: type[Section]) -> dict[str, Key]:
    """Return a section's keys by name, in the order they are declared."""
    return section._keys


def leaves(
    section: type[Section], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Key]]:
    """Yield every key below `section` that holds a value of its own, with its path."""
    for name, one in keys_of(section).items():
        if one.reader.section is not None:
            yield from leaves(one.reader.section, (*path, name))
        else:
            yield (*path, name), one


def read_section(
    made: type[Made], value: dict[str, object], path: KeyPath, objections: Objections
) -> Made:
    """Return a section read from a mapping, not looked at as a whole; see the module."""
    section = object.__new__(made)
    section.__dict__.update(_read_keys(made, value, path, objections))
    return section


def _read_keys(
    section: type[Section], given: dict[str, object], path: KeyPath, objections: Objections
) -> dict[str, object]:
    known = keys_of(section)
    for name in given:
        if name not in known:
            objections.add_unknown((*path, name), list(known))
    values = {}
    for name, one in known.items():
        value = given.get(name, one.default)
        if value is REQUIRED:
            objections.add((*path, name), f"{name} is missing", "add it")
        else:
            values[name] = one.reader.read(value, (*path, name), objections)
    return values


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return "did you mean ...?" for the nearest known word, or nothing."""
    # Imported late: only a mistake needs it.
    from difflib import get_close_matches

    close = get_close_matches(word[:64], list(known), 1, 0.7)
    return f"did you mean {close[0]}?" if close else ""
