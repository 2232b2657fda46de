"""Looking up what people ask of zones: names, addresses, reasons read and put into words.

What belongs here: what `reasons` needs to find and to say, one thing at a time. Pure.
"""

from __future__ import annotations

from ipaddress import ip_address
from math import log2

from consulfwd.config.zones import DampingSettings
from consulfwd.dns import const, names
from consulfwd.zones.assembly import TYPES
from consulfwd.zones.model import Key, Records, RRset
from consulfwd.zones.spots import Spot


def at(records: Records, name: bytes) -> dict[Key, RRset]:
    """Return what records there are at a name, of the types that we make."""
    keys = (Key(name, type_) for type_ in TYPES)
    return {key: records[key] for key in keys if key in records}


def address_text(spot: Spot | str) -> str:
    """Return an address or a host name as text, "" where there is none."""
    if isinstance(spot, str):
        return ""
    if spot.type == const.CNAME:
        return names.to_text(spot.data)
    return str(ip_address(spot.data))


def clearer(why: str) -> str:
    """Return a reason with what can be done about it, as far as that goes without saying more."""
    if why.endswith((" is no name", " is no label of a name")):
        return f"{why}: letters, digits and hyphens between them, 63 in a label at most"
    return why


def fading(settings: DampingSettings, penalty: float) -> str:
    """Return how long an instance with this penalty is held back if it stays well."""
    left = settings.half_life * log2(max(1.0, penalty / settings.reuse))
    minutes = max(1, round(min(left, settings.longest) / 60))
    return f"penalty {penalty:.0f}: offered again after about {minutes} min if it stays well"


def address_in(word: str) -> str:
    """Return the address that a word is, as it is written, "" for none."""
    try:
        return str(ip_address(word))
    except ValueError:
        return ""


def order(name: bytes) -> list[bytes]:
    """Return what sorts names as RFC 4034 section 6.1 does."""
    return names.labels_of(name)[::-1]


def is_about(why: str, name: bytes) -> bool:
    """Return whether a reason is about that name, and no longer one."""
    return f" {names.to_text(name)} " in f" {why} "
