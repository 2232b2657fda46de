"""What a grid holds and refuses, by Infoblox's published WAPI documentation: for tests.

Strict: fields, arguments and searches that are not documented are refused, and so is what a real
grid refuses: records outside of its zones, doubles, aliases beside others, attributes that it does
not have. Written without the code that it tests.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

Object = dict[str, Any]

PROTO, DATA = "Client.Ibap.Proto", "Client.Ibap.Data"
CONFLICT, NOT_FOUND = "Client.Ibap.Data.Conflict", "Client.Ibap.Data.NotFound"
_COMMON = {"name", "ttl", "use_ttl", "extattrs", "comment", "disable", "view"}
_TOLD = {"zone", "dns_name", "creator", "creation_time"}
# Kind -> the fields with its data.
DATA_OF = {
    "record:a": ("ipv4addr",),
    "record:aaaa": ("ipv6addr",),
    "record:srv": ("priority", "weight", "port", "target"),
    "record:cname": ("canonical",),
    "record:txt": ("text",),
    "record:ptr": ("ptrdname",),
    "record:mx": ("mail_exchanger", "preference"),
    "record:host": ("ipv4addrs",),
    "record:caa": ("ca_flag", "ca_tag", "ca_value"),
    "record:dname": ("target",),
}
_BASE = {kind: {*fields, "name", "view"} for kind, fields in DATA_OF.items()}
_BASE["record:ptr"] = {"ptrdname", "view"}
_BASE["allrecords"] = {"comment", "name", "type", "view", "zone"}
ZONES = ("zone_auth", "zone_delegated", "zone_forward", "zone_stub")
_BASE |= {kind: {"fqdn", "view"} for kind in ZONES}
READABLE = {kind: {*_COMMON, *_TOLD, *fields} for kind, fields in DATA_OF.items()}
READABLE["record:ptr"] |= {"ipv4addr", "ipv6addr"}
READABLE["allrecords"] = {*_BASE["allrecords"], "address", "creator", "disable", "record", "ttl"}
READABLE |= {kind: {"fqdn", "view", "parent", "disable", "comment"} for kind in ZONES}
_SEARCHED = {kind: {"name", "view", "zone", "comment", "creator"} | set(fields)
             for kind, fields in DATA_OF.items()}  # fmt: skip
_SEARCHED["record:ptr"] |= {"ipv4addr", "ipv6addr"}
_SEARCHED["allrecords"] = {"zone", "view", "name", "type", "comment", "creator"}
_SEARCHED |= {kind: {"fqdn", "view", "parent", "comment"} for kind in ZONES}
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')


class Refused(Exception):
    """An error of the WAPI: its status and body."""

    def __init__(self, code: str, text: str, status: int = 400) -> None:
        kind = {PROTO: "AdmConProtoError", NOT_FOUND: "AdmConDataNotFoundError"}.get(code)
        inner = f"IBDataError: IB.Data:{text}"
        if code == CONFLICT:
            inner = f"IBDataConflictError: IB.Data.Conflict:{text}"
        error = f"{kind}: {text}" if kind else f"AdmConDataError: None ({inner})"
        self.status = status
        self.body = {"Error": error, "code": code, "text": text}
        super().__init__(text)


@dataclass
class Grid:
    """The database that all members of a grid share."""

    zones: dict[tuple[str, str], str] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=lambda: {"Publisher": "STRING"})
    objects: dict[str, Object] = field(default_factory=dict)
    # Called after each write.
    watches: list[Callable[[Grid], None]] = field(default_factory=list)
    writes: list[tuple[str, str, Object | None]] = field(default_factory=list)
    # Texts of permissions that are missing, by kind of object.
    forbidden: dict[str, str] = field(default_factory=dict)
    # Who locked a zone, so that nobody else changes it.
    locked: dict[tuple[str, str], str] = field(default_factory=dict)
    # What is in a zone without being an object of it: (view, zone, relative name, type), as
    # records of a shared record group and load balanced names of DNS Traffic Control.
    besides: list[tuple[str, str, str, str]] = field(default_factory=list)
    # How many objects a reply has at most.
    limit: int = 1_000

    @property
    def views(self) -> set[str]:
        return {view for view, _ in self.zones}

    def all(self) -> list[Object]:
        """Return what is there at this moment: others may ask and change meanwhile."""
        return list(self.objects.values())

    def create(self, kind: str, given: Object) -> str:
        """Do what POST does; return the reference."""
        if kind not in DATA_OF:
            raise Refused(PROTO, f"Unknown object type ({kind})")
        self._allowed(kind)
        made = self._made(kind, given)
        self._not_locked(made)
        self._no_conflict(made)
        return self._put(made, ("POST", kind, given))

    def fill(self, kind: str, many: Iterable[Object]) -> None:
        """Put in many of one kind, none of which is in conflict."""
        for given in many:
            self._put(self._made(kind, given), ("POST", kind, given))

    def change(self, ref: str, given: Object) -> str:
        """Do what PUT does; return the reference, which may be another one."""
        old = self._at(ref)
        self._allowed(old["_kind"])
        if "view" in given:
            raise Refused(PROTO, "Field is not writable: view")
        # What is not given stays; `ttl` alone is not in force.
        made = self._made(old["_kind"], {**self._given(old), **given})
        self._not_locked(made)
        self._no_conflict(made, but=ref)
        del self.objects[old["_ref"]]
        return self._put(made, ("PUT", ref, given))

    def delete(self, ref: str) -> str:
        """Do what DELETE does."""
        old = self._at(ref)
        self._allowed(old["_kind"])
        self._not_locked(old)
        del self.objects[old["_ref"]]
        self._wrote(("DELETE", ref, None))
        return ref

    def search(self, kind: str, searches: dict[str, str]) -> list[Object]:
        """Return what matches: NAME, NAME: (whatever case) or NAME~ (pattern), *ATTRIBUTE."""
        if kind not in _SEARCHED:
            raise Refused(PROTO, f"Unknown object type ({kind})")
        if kind == "allrecords" and "zone" not in searches:
            raise Refused(PROTO, "field for search missing: zone")
        for argument, value in searches.items():
            self._check(kind, argument, value)
        found = self._all(kind, searches)
        for argument, value in searches.items():
            found = [one for one in found if _matches(one, argument, value)]
        return found

    def fields(self, kind: str, wanted: str | None, plus: str | None) -> set[str]:
        """Return the fields that are asked for."""
        if wanted is not None and plus is not None:
            raise Refused(PROTO, "_return_fields and _return_fields+ are not used together")
        names = set(filter(None, (wanted or plus or "").split(",")))
        if unknown := names - READABLE[kind]:
            raise Refused(PROTO, f"Unknown argument/field: '{min(unknown)}'")
        return names | (_BASE[kind] if wanted is None else set())

    def records(self, view: str = "default") -> dict[tuple[str, str], list[Object]]:
        """Return all records of a view by name and kind."""
        found: dict[tuple[str, str], list[Object]] = {}
        for one in self.all():
            if one["view"] == view:
                found.setdefault((one["name"], one["_kind"]), []).append(one)
        return found

    def _allowed(self, kind: str) -> None:
        if kind in self.forbidden:
            # A right that is missing is told as a conflict.
            raise Refused(CONFLICT, self.forbidden[kind])

    def _not_locked(self, made: Object) -> None:
        if by := self.locked.get((made["view"], made["zone"])):
            raise Refused(DATA, f"The zone '{made['zone']}' is locked by '{by}'.")

    def _all(self, kind: str, searches: dict[str, str]) -> list[Object]:
        if kind in ZONES:
            return [
                {"_ref": f"{kind}/{_opaque(name, view)}:{name}/{view}", "_kind": kind,
                 "fqdn": _network(name), "view": view, "parent": name.partition(".")[2]}
                for (view, name), of in self.zones.items()
                if of == kind
            ]  # fmt: skip
        if kind != "allrecords":
            return [one for one in self.all() if one["_kind"] == kind]
        if (searches.get("view", "default"), searches["zone"]) not in self.zones:
            raise Refused(NOT_FOUND, f"zone {searches['zone']} not found", 404)
        entries = []
        for one in self.all():
            entry = {key: one[key] for key in ("view", "zone", "_ref")}
            entry["_ref"] = f"allrecords/{one['_ref'].partition('/')[2]}"
            entry["name"] = one["name"].removesuffix(one["zone"]).removesuffix(".")
            if one["_kind"] == "record:host":
                entries += [{**entry, "_ref": f"{entry['_ref']}{number}", "comment": "",
                             "type": "record:host_ipv4addr", "address": each["ipv4addr"]}
                            for number, each in enumerate(one["ipv4addrs"])]  # fmt: skip
            else:
                known = one["_kind"] != "record:caa"
                kind_told = one["_kind"] if known else "UNSUPPORTED"
                entries.append({**entry, "comment": "", "type": kind_told})
        for view, zone, name, told in self.besides:
            entries.append({"_ref": f"allrecords/{_opaque(told, name, zone, view)}", "name": name,
                            "comment": "", "type": told, "view": view,
                            "zone": zone})  # fmt: skip
        for (view, name), of in self.zones.items():
            if of == "zone_auth":
                entries.append({"_ref": f"allrecords/{_opaque('ns', name, view)}", "name": "",
                                "comment": "", "type": "record:ns", "view": view,
                                "zone": name})  # fmt: skip
        return entries

    def _check(self, kind: str, argument: str, value: str) -> None:
        name = argument.lstrip("*").rstrip(":~")
        if argument.startswith("*"):
            if name not in self.attributes:
                raise Refused(PROTO, f"Unknown extensible attribute: {name}")
        elif name not in _SEARCHED[kind] or argument not in (name, f"{name}:", f"{name}~"):
            raise Refused(PROTO, f"Unknown argument/field: '{name}'")
        if name == "view" and value not in self.views:
            raise Refused(NOT_FOUND, f"View {value} not found", 404)

    def _at(self, ref: str) -> Object:
        # What follows the colon is for people.
        opaque = ref.partition(":")[2].partition(":")[0] if ref.startswith("record:") else ref
        try:
            base64.b64decode(opaque.partition("/")[2], validate=True)
        except ValueError:
            raise Refused(PROTO, f"Invalid reference: {ref}") from None
        for one in self.all():
            if one["_ref"].partition(":")[2].partition(":")[0] == opaque:
                return one
        raise Refused(NOT_FOUND, f"Reference {ref} not found", 404)

    def _given(self, one: Object) -> Object:
        writable = {*_COMMON, *DATA_OF[one["_kind"]]}
        return {key: value for key, value in one.items() if key in writable}

    def _made(self, kind: str, given: Object) -> Object:
        addresses = {"ipv4addr", "ipv6addr"} if kind == "record:ptr" else set()
        if unknown := given.keys() - {*_COMMON, *DATA_OF[kind], *addresses}:
            raise Refused(PROTO, f"Unknown argument/field: '{min(unknown)}'")
        made: Object = {"view": "default", "use_ttl": False, "disable": False, "extattrs": {},
                        "comment": "", **given, "_kind": kind}  # fmt: skip
        if kind == "record:ptr" and "name" not in given:
            if len(addresses & given.keys()) != 1:
                raise Refused(PROTO, "field for create missing: ipv4addr")
            address = next(given[one] for one in addresses if one in given)
            made["name"] = ip_address(address).reverse_pointer
        for one in ("name", *DATA_OF[kind]):
            if one not in made:
                raise Refused(PROTO, f"field for create missing: {one}")
        _check_types(kind, made)
        for name, attribute in made["extattrs"].items():
            if name not in self.attributes:
                raise Refused(PROTO, f"Unknown extensible attribute: {name}")
            if not isinstance(attribute, dict) or attribute.keys() != {"value"}:
                raise Refused(PROTO, "Invalid value for field: extattrs")
        if made["view"] not in self.views:
            raise Refused(NOT_FOUND, f"View {made['view']} not found", 404)
        made["zone"] = self._zone(made)
        # An internationalised name stays as it was spelled; there it is as DNS has it.
        made["dns_name"] = _ascii(made["name"])
        if not made["use_ttl"]:
            made.pop("ttl", None)
        return made

    def _zone(self, made: Object) -> str:
        labels = made["name"].lower().split(".")
        for start in range(len(labels)):
            name = ".".join(labels[start:])
            kind = self.zones.get((made["view"], name))
            if kind == "zone_auth":
                return name
            if kind is not None:
                break
        raise Refused(CONFLICT, "The action is not allowed. A parent was not found.")

    def _no_conflict(self, made: Object, but: str = "") -> None:
        for one in self.all():
            if one["_ref"] == but or one["view"] != made["view"]:
                continue
            if one["dns_name"].lower() != made["dns_name"].lower():
                continue
            same = one["_kind"] == made["_kind"]
            double = same and all(one[key] == made[key] for key in DATA_OF[made["_kind"]])
            if double or "record:cname" in (one["_kind"], made["_kind"]):
                raise Refused(CONFLICT, f"The record '{made['name']}' already exists.")

    def _put(self, made: Object, wrote: tuple[str, str, Object | None]) -> str:
        data = [str(made[key]) for key in DATA_OF[made["_kind"]]]
        opaque = _opaque(made["_kind"], made["view"], made["name"], *data)
        made["_ref"] = f"{made['_kind']}/{opaque}:{made['name']}/{made['view'].replace(' ', '%20')}"
        self.objects[made["_ref"]] = made
        self._wrote(wrote)
        return str(made["_ref"])

    def _wrote(self, wrote: tuple[str, str, Object | None]) -> None:
        self.writes.append(wrote)
        for watch in self.watches:
            watch(self)


def _matches(one: Object, argument: str, value: str) -> bool:
    name = argument.lstrip("*").rstrip(":~")
    if argument.startswith("*"):
        return bool(one.get("extattrs", {}).get(name, {}).get("value") == value)
    has = str(one.get(name, ""))
    if argument.endswith("~"):
        return re.search(value, has) is not None
    return has.lower() == value.lower() if argument.endswith(":") else has == value


def _ascii(name: str) -> str:
    return name if name.isascii() else name.encode("idna").decode()


def _check_types(kind: str, made: Object) -> None:
    try:
        if kind == "record:a":
            made["ipv4addr"] = str(IPv4Address(made["ipv4addr"]))
        elif kind == "record:aaaa":
            made["ipv6addr"] = str(IPv6Address(made["ipv6addr"]))
        elif kind == "record:txt":
            made["text"] = _normal(made["text"])
        elif kind == "record:srv":
            for one in ("priority", "weight", "port"):
                if not isinstance(made[one], int) or not 0 <= made[one] < 65536:
                    raise ValueError(one)
    except (ValueError, TypeError) as error:
        raise Refused(PROTO, f"Invalid value for field: {error}") from None
    if not isinstance(made["use_ttl"], bool) or not isinstance(made.get("ttl", 0), int):
        raise Refused(PROTO, "Invalid value for field: ttl")
    for one in ("name", "target", "canonical", "ptrdname"):
        text = made.get(one, "")
        if text != text.strip() or text.endswith(".") or any(len(x) > 63 for x in text.split(".")):
            raise Refused(DATA, f"Invalid domain name: '{text}'")


def _normal(text: str) -> str:
    """Return a text as it is read back: quotes only where there are spaces."""
    words = [one[2] if one[1] is None else one[1] for one in _WORD.finditer(text)]
    if any(len(one) > 255 for one in words) or sum(map(len, words)) > 512:
        raise ValueError("text")
    bare = [bool(one) and " " not in one and '"' not in one for one in words]
    return " ".join(one if plain else f'"{one}"' for one, plain in zip(words, bare, strict=True))


def _opaque(*parts: str) -> str:
    return base64.b64encode(",".join(parts).encode()).decode()


def _network(name: str) -> str:
    labels = name.split(".")[::-1]
    if labels[:2] == ["arpa", "in-addr"]:
        octets = labels[2:]
        return str(ip_network((".".join(octets + ["0"] * (4 - len(octets))), 8 * len(octets))))
    if labels[:2] == ["arpa", "ip6"]:
        number = int("".join(labels[2:]).ljust(32, "0"), 16)
        return str(ip_network((number, 4 * (len(labels) - 2))))
    return name
