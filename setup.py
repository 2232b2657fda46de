"""The one thing setup.cfg cannot say: the compiled fast lane, left out where it cannot be built."""

import sys
from pathlib import Path

from setuptools import Extension, setup

HERE = Path(__file__).parent


def files(pattern: str) -> list[str]:
    """Return what there is of the fast lane, as paths from the top of the source."""
    found = (HERE / "consulfwd" / "net" / "fast").glob(pattern)
    return sorted(str(one.relative_to(HERE)) for one in found)


FAST = Extension(
    "consulfwd.net._fast",
    sources=files("*.c"),
    depends=files("*.h"),
    extra_compile_args=["-O2", "-Wall", "-Wextra", "-Wno-missing-field-initializers"],
    # Python does the same where there is no compiler: it costs more for each answer.
    optional=True,
)

setup(ext_modules=[FAST] if sys.platform.startswith("linux") else [])
