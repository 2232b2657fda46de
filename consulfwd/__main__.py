"""`python -m consulfwd`: the command, where its script is not on the PATH."""

from __future__ import annotations

from consulfwd.cli.main import main

if __name__ == "__main__":
    main()
