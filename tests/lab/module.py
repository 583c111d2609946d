"""The kernel module: loading and unloading it."""

import subprocess
from pathlib import Path

from . import paths
from .flavour import SLOWER

NAME = "halod"
NEEDS = ("nf_defrag_ipv4", "nf_defrag_ipv6")  # modprobe would find them by itself, insmod does not


def loaded() -> bool:
    """Whether the module is there."""
    return Path("/sys/module", NAME).exists()


def load(*parameters: str) -> None:
    """insmod, unless it is there; parameters as `name=value`."""
    if not loaded():
        _run("modprobe", "-a", *NEEDS)
        _run("insmod", str(paths.MODULE), *parameters)


def unload() -> None:
    """rmmod, if it is there."""
    if loaded():
        _run("rmmod", NAME)


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60 * SLOWER)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: exit {done.returncode}: {done.stderr.strip()}")
