"""SipHash-2-4 with 64 bits of output (Aumasson, Bernstein 2012), which DNS cookies are made by.

The standard library has it for `hash` only, with a key of its own. Pure.
"""

from __future__ import annotations

import struct

KEY_SIZE = 16
_MASK = (1 << 64) - 1
_KEY = struct.Struct("<QQ")


def siphash24(key: bytes, data: bytes) -> bytes:
    """Return the eight octets that `data` comes to under a key of 16, in little-endian order.

    It takes some 20 microseconds: who is asked by strangers counts how often. Raises struct.error
    where the key has another length.
    """
    k0, k1 = _KEY.unpack(key)
    v0, v1 = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D
    v2, v3 = k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573
    whole = len(data) // 8
    last = int.from_bytes(data[8 * whole :], "little") | (len(data) & 0xFF) << 56
    for word in (*struct.unpack_from(f"<{whole}Q", data), last):
        v0, v1, v2, v3 = _rounds(v0, v1, v2, v3 ^ word, 2)
        v0 ^= word
    v0, v1, v2, v3 = _rounds(v0, v1, v2 ^ 0xFF, v3, 4)
    return (v0 ^ v1 ^ v2 ^ v3).to_bytes(8, "little")


def _rounds(v0: int, v1: int, v2: int, v3: int, count: int) -> tuple[int, int, int, int]:
    mask = _MASK
    for _ in range(count):
        v0 = v0 + v1 & mask
        v1 = (v1 << 13 & mask | v1 >> 51) ^ v0
        v0 = v0 << 32 & mask | v0 >> 32
        v2 = v2 + v3 & mask
        v3 = (v3 << 16 & mask | v3 >> 48) ^ v2
        v0 = v0 + v3 & mask
        v3 = (v3 << 21 & mask | v3 >> 43) ^ v0
        v2 = v2 + v1 & mask
        v1 = (v1 << 17 & mask | v1 >> 47) ^ v2
        v2 = v2 << 32 & mask | v2 >> 32
    return v0, v1, v2, v3
