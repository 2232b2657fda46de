"""TSIG keys from files: BIND's form, the secret alone, and what is neither."""

from __future__ import annotations

from pathlib import Path

import pytest

from consulfwd.errors import ApplyError
from consulfwd.zones.sinks.keys import read_key

SECRET = "c2VjcmV0IG9mIHNpeHRlZW4="
CLAUSE = f'key "publisher" {{ algorithm hmac-sha512; secret "{SECRET}"; }};\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "key"


@pytest.mark.parametrize(
    ("text", "name", "shown"),
    [
        (f"{SECRET}\n", "Publisher", "publisher. hmac-sha256."),
        (f"  {SECRET[:8]}\n{SECRET[8:]}\n", "a.b.", "a.b. hmac-sha256."),
        (CLAUSE, None, "publisher. hmac-sha512."),
        (CLAUSE, "publisher.", "publisher. hmac-sha512."),
        (
            f"# made by tsig-keygen\nkey a.b{{ secret {SECRET} ; algorithm HMAC-SHA1; }} // x\n",
            None,
            "a.b. hmac-sha1.",
        ),
        (f'/* of\n two */ KEY "p" {{\n\talgorithm "hmac-sha256";\n\tsecret "{SECRET}";\n}};', "p",
         "p. hmac-sha256."),
    ],
)  # fmt: skip
def test_a_key_is_read(file: Path, text: str, name: str | None, shown: str) -> None:
    file.write_text(text)
    key = read_key(name, file, "hmac-sha256", {})
    assert key is not None
    assert f"{key.name} {key.algorithm}" == shown
    assert key.secret == b"secret of sixteen"[: len(key.secret)]


def test_a_credential_is_found_where_systemd_puts_it(file: Path) -> None:
    file.write_text(CLAUSE)
    environ = {"CREDENTIALS_DIRECTORY": str(file.parent)}
    assert read_key(None, Path("key"), "hmac-sha256", environ) is not None
    with pytest.raises(ApplyError, match="none were handed over"):
        read_key(None, Path("key"), "hmac-sha256", {})


def test_no_key_is_none(file: Path) -> None:
    assert read_key(None, None, "hmac-sha256", {}) is None
    with pytest.raises(ApplyError, match="has no secret"):
        read_key("publisher", None, "hmac-sha256", {})


@pytest.mark.parametrize(
    ("text", "name", "why"),
    [
        ("", "p", "holds no key"),
        ("not base64!", "p", "holds no key"),
        ("abc", "p", "no base64"),
        ("\xff", "p", "holds no key"),
        (SECRET, None, "without a name"),
        (CLAUSE, "other", "and `key_name` is other"),
        (CLAUSE.replace("hmac-sha512", "hmac-md5"), None, "a key for 'hmac-md5'"),
        (CLAUSE.replace("algorithm hmac-sha512;", ""), None, "not an algorithm and a secret"),
        (CLAUSE.replace("hmac-sha512;", 'hmac-sha512; port "1";'), None, "not an algorithm"),
        (CLAUSE + CLAUSE, "publisher", "holds no key"),
        (SECRET, "a..b", "cannot be one"),
        ("A" * 70_000, "p", "no base64"),
    ],
)
def test_what_is_no_key_is_told_without_showing_it(
    file: Path, text: str, name: str | None, why: str
) -> None:
    file.write_text(text, encoding="latin-1")
    with pytest.raises(ApplyError) as caught:
        read_key(name, file, "hmac-sha256", {})
    assert why in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_file_that_cannot_be_read_is_told(file: Path) -> None:
    with pytest.raises(ApplyError, match="cannot be read: No such file"):
        read_key("p", file, "hmac-sha256", {})
