"""`consulfwd cache`: what the running resolver keeps, and having it dropped."""

from __future__ import annotations

from pathlib import Path

import click

from consulfwd.cli import asking
from consulfwd.cli.asking import JSON, socket_option
from consulfwd.cli.named import question
from consulfwd.errors import UsageError

LIMIT = 100
SUBTREE = click.option("--subtree", is_flag=True, help="NAME and all names below it.")


@click.group()
def cache() -> None:
    """Show what the running resolver keeps, and drop it."""


@cache.command()
@click.argument("name", required=False)
@SUBTREE
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=LIMIT,
    metavar="N",
    help=f"So many at most [default: {LIMIT}].",
)
@socket_option
@JSON
def show(
    name: str | None, subtree: bool, limit: int, socket: Path | None, as_json: bool
) -> None:
    """Show the answers that are kept: of NAME (an address is its reverse name), or all.

    Exit codes: 0 there are some, 1 there are none, 2 wrong use, 3 the resolver could not be asked.
    """
    if subtree and name is None:
        raise UsageError("--subtree: of which NAME?")
    path = asking.resolver(socket)
    owner = _owner(name)
    found = asking.order(path, "cache", {"name": owner, "subtree": subtree, "limit": limit})
    if as_json:
        asking.echo_json(found)
    else:
        from consulfwd.ops.text.ordered import cache_lines

        asking.echo(cache_lines(found, _said(owner, subtree)))
    raise SystemExit(0 if found.get("entries") else 1)


@cache.command()
@click.argument("name", required=False)
@SUBTREE
@click.option("--all", "everything", is_flag=True, help="All answers, of whatever name.")
@socket_option
@JSON
def flush(
    name: str | None, subtree: bool, everything: bool, socket: Path | None, as_json: bool
) -> None:
    """Drop the answers of NAME, so that the next query for it asks.

    A whole subtree goes with --subtree, such as `consulfwd cache flush --subtree service.consul`;
    everything with --all. What is dropped is not there as a stale answer either.

    Exit codes: 0 done, however many there were, 2 wrong use, 3 the resolver could not be asked.
    """
    if everything is (name is not None) or (everything and subtree):
        raise UsageError("which answers? NAME, --subtree NAME, or --all")
    path = asking.resolver(socket)
    owner = "." if everything else _owner(name)
    found = asking.order(path, "flush", {"name": owner, "subtree": subtree or everything})
    if as_json:
        asking.echo_json(found)
        return
    from consulfwd.ops.text.ordered import flush_line

    asking.echo([flush_line(found, _said(None if everything else owner, subtree))])


def _owner(name: str | None) -> str | None:
    """Return the name that is meant, as it is asked for."""
    return None if name is None else question(name, "")[0]


def _said(owner: str | None, subtree: bool) -> str:
    """Return in words what of the cache is meant, "" for all."""
    if owner is None:
        return ""
    return f"{owner} and below" if subtree else owner
