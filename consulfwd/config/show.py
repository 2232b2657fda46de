"""The effective settings as text: YAML that can be fed back, with where each value came from.

What a file may say is known in `sections` and `settings`; here is only how it is written down.
Nothing is printed, and nothing is read: a token stays in its file.
"""

from __future__ import annotations

import json
import re

from consulfwd.config.addresses import Agent, Endpoint, Recursor, Seeds
from consulfwd.config.keys import Section, keys_of
from consulfwd.config.load import Loaded
from consulfwd.config.sections import Datacenter
from consulfwd.config.settings import Settings
from consulfwd.config.source import scalar
from consulfwd.config.wording import printable

_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*", re.ASCII)


def plain(value: object) -> object:
    """Return settings (or a part of them) as lists, dictionaries and scalars, as in a file.

    Addresses, networks and recursors are text, an unset recursors list is "auto", and keys of an
    agent or a datacenter that are not set are left out.
    """
    if isinstance(value, Recursor):
        return value.name
    if isinstance(value, Section) and not isinstance(value, Endpoint):
        optional = isinstance(value, Agent | Datacenter)
        fields = {name: getattr(value, name) for name in keys_of(type(value))}
        if isinstance(value, Settings) and value.recursors is None:
            fields["recursors"] = "auto"
        return {name: plain(one) for name, one in fields.items() if one is not None or not optional}
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        listed = [plain(one) for one in value]
        return {"from_catalog": True, "seeds": listed} if isinstance(value, Seeds) else listed
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def as_json(loaded: Loaded) -> str:
    """Return {"settings": ..., "origins": {key: where it came from}, "files": [...]} as JSON."""
    files = [printable(str(one)) for one in loaded.files]
    shown = {"settings": plain(loaded.settings), "origins": loaded.origins, "files": files}
    return json.dumps(shown, indent=2)


def as_yaml(loaded: Loaded) -> str:
    """Return the settings as YAML, each key with a comment that says where it came from.

    Before them are the files that were read, as comments.
    """
    lines = [f"# {printable(str(one))}" for one in loaded.files]
    _write(lines, plain(loaded.settings), "", (), loaded.origins)
    return "\n".join(lines) + "\n"


def _write(
    lines: list[str], section: object, indent: str, path: tuple[str, ...], origins: dict[str, str]
) -> None:
    assert isinstance(section, dict)
    for key, value in section.items():
        here = (*path, key)
        origin = origins.get(".".join(here))
        if origin is None:
            lines.append(f"{indent}{key}:")
            _write(lines, value, indent + "  ", here, origins)
            continue
        comment = f"  # {origin}"
        if isinstance(value, list) and any(isinstance(one, dict) for one in value):
            lines.append(f"{indent}{key}:{comment}")
            lines += [f"{indent}  - {_flow(one)}" for one in value]
        elif isinstance(value, dict) and value:
            lines.append(f"{indent}{key}:{comment}")
            lines += [f"{indent}  {_flow(name)}: {_flow(one)}" for name, one in value.items()]
        else:
            lines.append(f"{indent}{key}: {_flow(value)}{comment}")


def _flow(value: object) -> str:
    """Return a value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(one) for one in value) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and isinstance(scalar(value), str):
        return value
    # JSON's way to write texts, numbers, true, false and null is YAML's too.
    return json.dumps(value, ensure_ascii=False)
