"""What the integration clusters serve, stated once for the tests to compare with."""

from __future__ import annotations

from pathlib import Path

from consulfwd.dev.real import RealCluster, Registration

DEFINITIONS = Path(__file__).parents[2] / "examples" / "consul.d"

GALERA = {f"10.0.10.{n}" for n in (11, 12, 13)}
BIG = {f"10.0.30.{n}" for n in range(1, 61)}
# The service `external` is a host name: Consul answers with a CNAME to it. The recursors of
# the tests know it.
EXTERNAL_TARGET = "db.example.test"
TEXT_NODE = "texts"
QUERY = "galera-near"

REGISTRATIONS = [
    *(
        Registration(
            node=f"big{n}",
            service="big",
            address=f"10.0.30.{n}",
            port=8080,
            service_id=f"big{n}",
            service_address=f"10.0.30.{n}",
        )
        for n in range(1, 61)
    ),
    Registration("external-db", "external", address=EXTERNAL_TARGET, port=5432),
    Registration(
        TEXT_NODE,
        address="10.0.40.1",
        node_meta={"rack": "r1", "rfc1035-note": "kept in the cellar"},
    ),
    Registration("one", "mixed", address="10.0.50.1", port=81, service_id="mixed1"),
    Registration(
        "two", "mixed", address="10.0.50.2", port=82, service_id="mixed2", status="critical"
    ),
    Registration("six", "v6only", address="fd00:60::1", port=83),
    Registration("down", "failed", address="10.0.70.1", port=84, status="critical"),
    Registration("secret", "hidden", address="10.0.80.1", port=85),
]


def fill(cluster: RealCluster) -> None:
    """Register all of the above; `galeradb` and `web` come from the examples already."""
    cluster.register_all(REGISTRATIONS)
    cluster.put_query(QUERY, "galeradb")
    cluster.put_query("web", "web")
