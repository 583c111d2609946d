"""Where programs, the module and the kernel's tools are; each can be set by environment."""

import os
from pathlib import Path

from .flavour import DEBUG

REPO = Path(os.environ.get("HALOD_REPO", Path(__file__).resolve().parents[2]))
BIN = Path(os.environ.get("HALOD_BIN", REPO / "build/bin"))
MODULE = Path(os.environ.get("HALOD_MODULE", REPO / ("build/kmod-debug" if DEBUG else "build/kmod") / "halod.ko"))
SPEC = REPO / "kmod/netlink/halod.yaml"
# The kernel's own netlink tool, tools/net/ynl/pyynl/cli.py of its source.
YNL = Path(os.environ.get("YNL", REPO / "build/kernel/current/tree/tools/net/ynl/pyynl/cli.py"))
VECTORS = REPO / "tests/vectors"

HALOD = BIN / "halod"
HALODCTL = BIN / "halodctl"
HALOD_NODE = BIN / "halod-node"
