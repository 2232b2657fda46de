"""Vagrant takes the Vagrantfile, and makes the hosts of site.env of it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.e2e.site import ADDRESSES, GALERA, ICINGA

FOLDER = Path(__file__).parents[2] / "vagrant"

# Runs the Vagrantfile in front of objects that note what they are told.
_RECORD = r"""
require "json"
FOUND = {}
class Told
  def initialize(name) = @name = name
  def define(name) = yield(Told.new(name))
  def vm = self
  def provider(_) = nil
  def synced_folder(*, **) = nil
  def box=(_)
  end
  def hostname=(name)
    FOUND[@name] = {"hostname" => name, "run" => []}
  end
  def network(kind, ip:) = FOUND[@name][kind] = ip
  def provision(_, type:, run:, inline:, env:) = FOUND[@name]["run"] << inline
end
module Vagrant
  def self.configure(_) = yield(Told.new(nil))
end
load ARGV.fetch(0)
puts JSON.generate(FOUND)
"""
_ORDER = {
    "galera": ["hosts.sh", "consul.sh", "galera.sh", "consulfwd.sh", "bind.sh"],
    "icinga": ["hosts.sh", "consul.sh", "consulfwd.sh --stub", "icinga.sh"],
    "web": ["hosts.sh", "consul.sh", "consulfwd.sh --stub", "web.sh"],
}


def test_vagrant_validates_it(tmp_path: Path) -> None:
    done = subprocess.run(
        ["vagrant", "validate", "--ignore-provider"],
        cwd=FOLDER,
        env={
            **os.environ,
            "VAGRANT_HOME": str(tmp_path / "home"),
            "VAGRANT_DOTFILE_PATH": str(tmp_path / "dot"),
            "VAGRANT_CHECKPOINT_DISABLE": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert "Vagrantfile validated successfully." in done.stdout
    assert done.returncode == 0, done.stdout
    assert [name for name in (*GALERA, *ICINGA, "web") if f"==> {name}:" not in done.stdout] == []


def test_its_hosts_are_those_of_the_site() -> None:
    program = ["ruby", "-e", _RECORD, str(FOLDER / "Vagrantfile")]
    made = json.loads(subprocess.run(program, stdout=subprocess.PIPE, check=True).stdout)
    assert made == {
        name: {
            "hostname": name,
            "private_network": address,
            "run": [
                f"bash /vagrant/vagrant/provision/{script}"
                for script in _ORDER[name.rstrip("0123456789")]
            ],
        }
        for name, address in ADDRESSES.items()
        if name != "outside"
    }
