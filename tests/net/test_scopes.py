"""Socket addresses, with the interface behind a link-local one."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from consulfwd.core.upstreams import NO_INTERFACE
from consulfwd.net.scopes import by_name, family, interface, reason, socket_address

LO = socket.if_nametoindex("lo")


def test_addresses_as_sockets_take_them() -> None:
    assert socket_address("10.0.0.1", 53) == ("10.0.0.1", 53)
    assert socket_address("2001:db8::1", 53) == ("2001:db8::1", 53, 0, 0)
    assert socket_address("fe80::1%lo", 53) == ("fe80::1", 53, 0, LO)
    assert socket_address(f"fe80::1%{LO}", 53) == ("fe80::1", 53, 0, LO)
    families = [family(one) for one in ("10.0.0.1", "::1", "fe80::1%lo")]
    assert families == [socket.AF_INET, socket.AF_INET6, socket.AF_INET6]


@pytest.mark.parametrize("scope", ["no-such", "0", "999999", "4294967297", "9" * 15, "-1", "²"])
def test_an_interface_that_is_not_there(scope: str) -> None:
    with pytest.raises(OSError, match="no interface") as caught:
        interface(scope)
    assert (caught.value.errno, reason(caught.value)) == (errno.ENODEV, NO_INTERFACE)
    assert by_name(f"fe80::1%{scope}") == f"fe80::1%{scope}"


def test_an_interface_by_name() -> None:
    assert by_name(f"fe80::1%{LO}") == by_name("fe80::1%lo") == "fe80::1%lo"
    assert by_name("::1") == "::1"


def test_other_reasons_are_the_systems() -> None:
    assert reason(OSError(errno.ENETUNREACH, "x")) == os.strerror(errno.ENETUNREACH).lower()


def test_a_want_of_descriptors_is_no_missing_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("consulfwd.net.scopes.socket.socket", full)
    for scope in ("lo", "1", "no-such"):
        with pytest.raises(OSError, match="open files") as caught:
            socket_address(f"fe80::1%{scope}", 53)
        assert caught.value.errno == errno.EMFILE
