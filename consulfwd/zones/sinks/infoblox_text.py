"""The text of a TXT object of Infoblox's WAPI as record data (RFC 1035 section 3.3.14), and back.

What belongs here: quoting. Pure. A text is words, each a character-string of its own; one that has
spaces in it is in quotes, and quotes that were not needed are not there any more when it is read.
"""

from __future__ import annotations

_LONGEST = 255


def text_of(data: bytes) -> str:
    """Return the text that stands for data: each string in quotes."""
    strings = []
    position = 0
    while position < len(data):
        end = position + 1 + data[position]
        strings.append('"' + "".join(map(_escaped, data[position + 1 : end])) + '"')
        position = end
    return " ".join(strings)


def strings_of(text: str) -> bytes:
    """Return the data that a text stands for. Raises ValueError for one that stands for none."""
    strings: list[bytes] = []
    position = 0
    while position < len(text):
        if text[position] in " \t":
            position += 1
            continue
        quoted = text[position] == '"'
        octets, position = _string(text, position + quoted, quoted)
        if len(octets) > _LONGEST:
            raise ValueError(f"a string of more than {_LONGEST} octets")
        strings.append(octets)
    return b"".join(bytes((len(one),)) + one for one in strings or [b""])


def _string(text: str, position: int, quoted: bool) -> tuple[bytes, int]:
    octets = bytearray()
    while position < len(text):
        char = text[position]
        position += 1
        if quoted and char == '"':
            return bytes(octets), position
        if not quoted and char in " \t":
            return bytes(octets), position
        if char != "\\":
            octets += char.encode("utf-8", "surrogatepass")
            continue
        digits = text[position : position + 3]
        if len(digits) == 3 and digits.isascii() and digits.isdigit():
            if int(digits) > 255:
                raise ValueError(f"\\{digits} is no octet")
            octets.append(int(digits))
            position += 3
        elif position < len(text):
            octets += text[position].encode("utf-8", "surrogatepass")
            position += 1
        else:
            raise ValueError("a backslash at the end")
    if quoted:
        raise ValueError("a quote is not closed")
    return bytes(octets), position


def _escaped(octet: int) -> str:
    if octet in b'"\\':
        return "\\" + chr(octet)
    return chr(octet) if 0x20 <= octet < 0x7F else f"\\{octet:03d}"
