"""The one thing setup.cfg cannot say: the compiled fast lane, left out where it cannot be built."""

import sys
from glob import glob

from setuptools import Extension, setup

FAST = Extension(
    "consulfwd.net._fast",
    sources=sorted(glob("consulfwd/net/fast/*.c")),
    depends=sorted(glob("consulfwd/net/fast/*.h")),
    extra_compile_args=["-O2", "-Wall", "-Wextra", "-Wno-missing-field-initializers"],
    # Python does the same where there is no compiler: it costs more for each answer.
    optional=True,
)

setup(ext_modules=[FAST] if sys.platform.startswith("linux") else [])
