"""Which Tandem this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def tandem_version() -> str:
    """The installed version, or that it runs from its sources without being installed."""
    try:
        return version("tandem-rlhf")
    except PackageNotFoundError:
        return "from source, not installed"


SOFTWARE = f"Tandem {tandem_version()}"
"""What reports say that they were made with."""
