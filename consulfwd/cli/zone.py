"""`consulfwd zone`: healthy services as zones of the site's DNS. Its verbs, loaded when called."""

from __future__ import annotations

import click

from consulfwd.cli.verbs import Verbs

VERBS = {
    "show": ("consulfwd.cli.zone_look", "show", "Print what a zone would hold."),
    "plan": ("consulfwd.cli.zone_look", "plan", "Print what a push would change, and what not."),
    "apply": ("consulfwd.cli.zone_apply", "apply", "Publish once, or exactly a plan of before."),
    "watch": ("consulfwd.cli.zone_watch", "watch", "Publish, and go on as services change."),
    "serve": ("consulfwd.cli.zone_watch", "serve", "Serve zones to secondaries, and nothing else."),
    "explain": ("consulfwd.cli.zone_explain", "explain", "Say why a host is in a zone, or not."),
    "status": ("consulfwd.cli.zone_status", "status", "Say who publishes, and what is withheld."),
    "pause": ("consulfwd.cli.zone_pause", "pause", "Have nothing published until further notice."),
    "resume": ("consulfwd.cli.zone_pause", "resume", "Have it go on."),
}


@click.group(cls=Verbs, verbs=VERBS)
def zone() -> None:
    """Publish healthy services in the DNS of a site.

    Zones are what the settings say under `zones`; without a ZONE each verb is for all of them.
    """
