"""Make the compute environment with the plugin's own algorithm, as a user would; run by the Makefile."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from qgis_shell import QgisShell


def main() -> int:
    """Run spectrafilm:setupenvironment; its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--plugins", type=Path, required=True)
    parser.add_argument("--profile", type=Path, required=True)
    arguments = parser.parse_args()
    shell = QgisShell(arguments.plugins.absolute(), arguments.profile.absolute())
    answer = shell.run("spectrafilm:setupenvironment", {"FOLDER": arguments.folder.absolute()}, show=True)
    return answer.status


if __name__ == "__main__":
    sys.exit(main())
