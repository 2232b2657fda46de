"""Files that zones need: told where they are missing, hold something else, or are open to all."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from consulfwd.config.objections import dotted
from consulfwd.config.settings import Settings
from consulfwd.config.zones import ZoneSettings
from consulfwd.zones.publish.needed import lacking
from tests.zones.made import ORIGIN

KEY = 'key "publisher" { algorithm hmac-sha256; secret "c2VjcmV0c2VjcmV0"; };\n'


def told(target: dict[str, Any], environ: dict[str, str] | None = None) -> list[str]:
    """What is said of one target, without where it is."""
    values: dict[str, Any] = {"origin": ORIGIN, "ns": ["ns.example.com"], "targets": [target]}
    zone = ZoneSettings(**values)
    before = "zones[0].targets[0]."
    return [
        f"{dotted(one.path).removeprefix(before)}: {one.what}"
        for one in lacking(Settings(zones=(zone,)), environ or {})
    ]


def updates(key: Path, **values: Any) -> dict[str, Any]:
    return {"rfc2136": {"servers": ["10.0.0.53"], "key_file": str(key), **values}}


def grid(password: Path, **values: Any) -> dict[str, Any]:
    urls = ["https://grid.example/wapi/v2.11"]
    return {"infoblox": {"urls": urls, "user": "a", "password_file": str(password), **values}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text(KEY)
    path.chmod(0o640)
    return path


def test_what_is_as_it_should_be_is_not_told(file: Path, tmp_path: Path) -> None:
    assert told(updates(file)) == []
    assert told({"primary": {"listen": ["127.0.0.1:53"], "key_file": str(file)}}) == []
    assert told(grid(file)) == []
    assert told({"file": {"path": str(tmp_path / "zone")}}) == []
    # A credential of systemd's.
    assert told(updates(Path("file")), {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == []


def test_keys(file: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    (found,) = told(updates(missing))
    assert found == f"rfc2136.key_file: {missing} cannot be read: No such file or directory"
    (found,) = told(updates(tmp_path))
    assert found == f"rfc2136.key_file: {tmp_path} is a folder"
    assert "rfc2136.key_file:" in told(updates(Path("bare")))[0]
    (found,) = told(updates(file, key_name="another"))
    assert "holds the key publisher, and `key_name` is another" in found
    file.write_text("no base64!")
    (found,) = told(updates(file, key_name="publisher"))
    assert found == f"rfc2136.key_file: {file} holds no key"
    file.write_text(KEY)
    file.chmod(0o644)
    (found,) = told(updates(file))
    assert found.startswith(f"rfc2136.key_file: {file} may be read by anybody here")


def test_passwords_and_certificates(file: Path, tmp_path: Path) -> None:
    file.write_text("one\ntwo\n")
    (found,) = told(grid(file))
    assert found == f"infoblox.password_file: {file} holds no password: that is one line"
    file.write_text("secret\n")
    authority = tmp_path / "ca.pem"
    authority.write_text("none\n")
    (found,) = told(grid(file, ca_file=str(authority)))
    assert found == f"infoblox.ca_file: {authority} holds no certificates"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    more = ["-nodes", "-subj", "/CN=a", "-keyout", "/dev/null", "-out", str(authority)]
    subprocess.run([*command, *more], check=True, capture_output=True)
    assert told(grid(file, ca_file=str(authority))) == []
    file.chmod(0o604)
    (found,) = told(grid(file))
    assert "who has the password may change the grid" in found


def test_the_folder_of_a_zone_file(tmp_path: Path) -> None:
    (found,) = told({"file": {"path": str(tmp_path / "none" / "zone")}})
    assert found == f"file.path: its folder {tmp_path / 'none'} is not there"
    (found,) = told({"file": {"path": str(tmp_path)}})
    assert found == f"file.path: {tmp_path} is a folder"
