# SPDX-License-Identifier: Apache-2.0
"""Stand-in for an sdist's build backend: names the package, builds nothing.

`pip download` asks each sdist for its metadata, which by default installs
whatever build requirements the sdist lists and runs its setup.py. Only the
archive is wanted here, so fetch.cmake puts this file where pip looks for the
backend (`setuptools.build_meta`). It repeats what the sdist's PKG-INFO says.
"""

from __future__ import annotations

import email
import os
import sys
from typing import Any


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    return []


def prepare_metadata_for_build_wheel(
    metadata_directory: str,
    config_settings: Any = None,
) -> str:
    with open("PKG-INFO", encoding="utf-8") as file:
        info = email.message_from_file(file)
    name, version = info["Name"], info["Version"]
    directory = f"{name.replace('-', '_')}-{version}.dist-info"
    os.makedirs(os.path.join(metadata_directory, directory))
    path = os.path.join(metadata_directory, directory, "METADATA")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return directory


def build_wheel(
    wheel_directory: str,
    config_settings: Any = None,
    metadata_directory: str | None = None,
) -> str:
    raise RuntimeError("this backend only answers `pip download`")


__legacy__ = sys.modules[__name__]
