"""Knot Resolver: its files, checker, reload and versions, as its manual states them."""

from __future__ import annotations

from consulfwd.servers.target import Output, Target

_PARSE_LUA = (
    "local _, wrong = loadfile(arg[1]) if wrong then io.stderr:write(wrong, '\\n') os.exit(1) end"
)

TARGET = Target(
    name="kresd",
    title="Knot Resolver",
    outputs=(Output("kresd/consul.lua.j2", ("/etc/knot-resolver/consul.lua",)),),
    newest=(5, 7),
    oldest=(3,),
    # Its language is Lua, and it has no checker of its own before version 6.
    # Its -b would run a jit/bcsave.lua that lies in the directory of the file.
    check=("luajit", "-e", _PARSE_LUA, "/dev/null", "{file}"),
    reload=(("systemctl", "try-restart", "kresd@*.service"),),
    ask_version=("kresd", "--version"),
    version_pattern=r"version (\d+\.\d+(?:\.\d+)?)",
    package="luajit",
)
