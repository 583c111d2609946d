"""A CA and certificates, as `halodctl pki` makes them."""

import subprocess
from pathlib import Path

from . import addresses, paths


class Pki:
    """The CA in a directory."""

    def __init__(self, directory: Path, name: str = "pki"):
        self.directory = directory / name

    def create(self) -> "Pki":
        """Makes the CA, and HaloD's certificate."""
        self.directory.mkdir()
        self._halodctl("init")
        return self.issue("halod", "--server", "--address", addresses.NODES_GATEWAY4)

    def issue(self, name: str, *more: object) -> "Pki":
        """Makes a certificate; replaces the one that is there."""
        self._halodctl("issue", name, "--force", *more)
        return self

    def files(self, name: str) -> dict[str, Path]:
        """The files that whoever has the certificate of that name is given."""
        file = self.directory.joinpath
        return {"ca": file("ca.pem"), "certificate": file(f"{name}.pem"), "key": file(f"{name}.key")}

    def options(self, name: str) -> tuple[object, ...]:
        """The agent's options for them."""
        return tuple(word for what, file in self.files(name).items() for word in (f"--tls-{what}", file))

    def _halodctl(self, *arguments: object) -> None:
        argv = [paths.HALODCTL, "pki", *arguments, "--dir", self.directory]
        subprocess.run([str(word) for word in argv], check=True, capture_output=True, timeout=60)
