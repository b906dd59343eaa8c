"""Run Processing algorithms from a shell with an isolated QGIS profile; needs the standard library only."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Answer:
    """How a run ended: exit status, and what was printed on either stream."""

    status: int
    output: str

    def results(self) -> dict[str, str]:
        """What stands under 'Results'."""
        lines = self.output.partition("\nResults\n")[2].splitlines()
        pairs = (line.partition(":\t") for line in lines)
        # Outputs of models have a colon in their name.
        return {key.strip(): value.strip() for key, separator, value in pairs if separator}


def find_qgis_process() -> str:
    """The working command: the wrapper `qgis_process` of QGIS 3.22 is broken on Debian.

    Raises:
        FileNotFoundError: QGIS is not installed.
    """
    for name in ("qgis_process.bin", "qgis_process"):
        path = shutil.which(name)
        if path:
            return path
    raise FileNotFoundError("QGIS is not installed: qgis_process was not found.")


class QgisShell:
    """`qgis_process` with the plugin enabled.

    Args:
        plugins: folder that holds the plugin's folder `spectrafilm`.
        profile: folder of the QGIS profile, made where it is missing; None for one that is removed at the end.
        python: interpreter of the compute environment; empty to let the plugin find its own.
    """

    def __init__(self, plugins: Path, profile: Path | None = None, python: str = "") -> None:
        self.command = find_qgis_process()
        runtime = Path(tempfile.mkdtemp(prefix="runtime-"))
        atexit.register(shutil.rmtree, runtime, ignore_errors=True)
        profile = profile or runtime / "profile"
        profile.mkdir(parents=True, exist_ok=True)
        self.environment = {
            **os.environ, "QT_QPA_PLATFORM": "offscreen", "XDG_RUNTIME_DIR": str(runtime),
            "QGIS_PLUGINPATH": str(plugins), "QGIS_CUSTOM_CONFIG_PATH": str(profile),
        }  # fmt: skip
        self.environment.pop("SPECTRAFILM_PYTHON", None)
        if python:
            self.environment["SPECTRAFILM_PYTHON"] = python
        self._call(["plugins", "enable", "spectrafilm"])

    def start(self, algorithm: str, parameters: Mapping[str, object]) -> subprocess.Popen[str]:
        """Start an algorithm; its output, both streams in one, is to be read from `stdout`."""
        values = [f"{key}={value}" for key, value in parameters.items()]
        return subprocess.Popen([self.command, "run", algorithm, "--", *values], env=self.environment, text=True,
                                errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip

    def run(self, algorithm: str, parameters: Mapping[str, object], show: bool = False) -> Answer:
        """Run an algorithm to its end, printing as it goes where `show` is set."""
        process = self.start(algorithm, parameters)
        parts = []
        while part := process.stdout.read(1) if process.stdout else "":
            parts.append(part)
            if show:
                print(part, end="", flush=True)
        return Answer(process.wait(), "".join(parts))

    def _call(self, arguments: list[str]) -> str:
        done = subprocess.run([self.command, *arguments], env=self.environment, text=True, capture_output=True,
                              errors="replace", check=False)  # fmt: skip
        return done.stdout
