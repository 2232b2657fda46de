"""Which tests run in one process, when there are several beside each other."""

from __future__ import annotations

import re

from xdist.scheduler import LoadScopeScheduling

# Their clusters are their own.
ALONE = ("test_network_cut.py", "test_primary_backup.py", "test_watched_rights.py")


def group(nodeid: str) -> str:
    """The tests on the clusters of one generation belong together: each process starts its own.

    So do those of a file with a cluster of its own, by generation; and all others of a file.
    """
    file, _, test = nodeid.partition("::")
    version = re.search(r"\[(consul-[^-\]]+)", test)
    if version is None:
        return file
    return f"{file} {version[1]}" if file.endswith(ALONE) else version[1]


class ByCluster(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out whole groups, in the order of the collection."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)
