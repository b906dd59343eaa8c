"""Make the zip that QGIS's plugin manager installs: what runs and what a user reads, nothing else."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = ("metadata.txt", "__init__.py", "LICENSE", "README.md", "CHANGELOG.md")
FOLDERS = ("plugin", "algorithms", "engine", "ui", "resources", "docs")
LEFT_OUT = (".pyc", ".properties", ".aux.xml", "-wal", "-shm")
MOST_MEGABYTES = 25


def contents() -> Iterator[Path]:
    """The files of the package, relative to the project."""
    yield from (Path(name) for name in FILES)
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and not path.name.endswith(LEFT_OUT):
                yield path.relative_to(ROOT)


def main() -> int:
    """Write `spectrafilm-VERSION.zip` into the folder named on the command line."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    metadata = ConfigParser(interpolation=None)
    metadata.read(ROOT / "metadata.txt", encoding="utf-8")
    target = folder / f"spectrafilm-{metadata['general']['version']}.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in contents():
            archive.write(ROOT / path, Path("spectrafilm") / path)
    megabytes = target.stat().st_size / 1e6
    print(f"{target}: {megabytes:.1f} MB")
    if megabytes > MOST_MEGABYTES:
        print(f"The plugin repository takes at most {MOST_MEGABYTES} MB.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
