"""A client of the cluster's stories ends when it is told to, whatever it is doing just then."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from tests.e2e.client import Settings

ENDED_S = 10.0
# The signal comes while the main thread holds the lock of the event that ends the others, as it
# does for some microseconds whenever it looks at that.
AT_THE_WORST = """
import json, os, signal, sys, threading
from tests.e2e.client import Client, Settings

client = Client(Settings(**json.loads(sys.argv[1])))
ending = client._ending
waits = ending.wait

def wait(seconds):
    if threading.current_thread() is threading.main_thread():
        with ending._cond:
            os.kill(os.getpid(), signal.SIGTERM)
            sum(range(1000))
    return waits(seconds)

ending.wait = wait
client.run()
"""


def test_it_ends_at_any_moment(tmp_path: Path) -> None:
    """Once, such a client stayed until the 255th signal and failed the stories after its own."""
    password = tmp_path / "password"
    password.write_text("secret\n")
    # No name is asked for at any server: these are addresses.
    settings = Settings("agent", "127.0.0.1", "127.0.0.1", "writer", "load", str(password))
    with subprocess.Popen(
        [sys.executable, "-c", AT_THE_WORST, json.dumps(asdict(settings))],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as client:
        try:
            assert client.stdout is not None
            first = json.loads(client.stdout.readline())
            assert first["what"] in ("name", "outside", "row")
            client.send_signal(signal.SIGTERM)
            client.communicate(timeout=ENDED_S)
            assert client.returncode == 0
        finally:
            client.kill()
