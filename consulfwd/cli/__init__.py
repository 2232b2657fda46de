"""The command line: one verb per file, each small; everything real is behind `api` or `daemon`."""
