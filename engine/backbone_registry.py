"""The backbones that are known by name: data in `resources/backbones/registry.json`.

Needs the standard library only, since the QGIS half reads it, too. The variable SPECTRAFILM_BACKBONES
names another registry of the same form, such as one with the addresses of a mirror.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any

VARIABLE = "SPECTRAFILM_BACKBONES"
REGISTRY = Path(__file__).resolve().parent.parent / "resources" / "backbones" / "registry.json"
NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
REVISION = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")
WEIGHTS = (".safetensors", ".pt", ".pth")


@dataclass(frozen=True)
class RegistryFile:
    """One file to download.

    Attributes:
        path: within the backbone's folder, with "/".
        url: its address, with "{revision}" where a revision belongs.
        sha256: its digest; empty where unknown.
        bytes: its size; 0 where unknown.
    """

    path: str
    url: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class RegisteredBackbone:
    """One backbone.

    Attributes:
        name: its id, and the name of its folder.
        title: for people.
        source: the publisher's page.
        revision: commit of a hub; empty where unknown, or where there are no revisions.
        digest: what a model remembers of it (`Backbone.sha256`); empty where unknown.
        pins_at: where to look for revision and digest, as the second half of a sentence.
        licence: under which it is published.
        conditioning: what it is told beside the image.
        image_size: side of its images in pixels.
        layers: number of decoder layers.
        megabytes: size of the download, about.
        note: anything else.
        files: what to download, a configuration first and the weights last; none for the bundled backbone.
    """

    name: str
    title: str
    source: str
    revision: str
    digest: str
    pins_at: str
    licence: str
    conditioning: str
    image_size: int
    layers: int
    megabytes: int
    note: str
    files: tuple[RegistryFile, ...]

    @property
    def weights(self) -> RegistryFile:
        """The file that must be known by its digest."""
        return self.files[-1]

    @property
    def has_revisions(self) -> bool:
        """Whether it comes from a hub, whose files may change from one revision to the next."""
        return "{revision}" in self.weights.url

    def facts(self) -> str:
        """What a person agrees to: what, how big, from where, and under which licence."""
        return f"{self.title}, about {self.megabytes} MB from {self.source} (licence: {self.licence})"

    def by_hand(self) -> str:
        """The way that always works."""
        names, chosen, folders = ", ".join(file.path for file in self.files), "it", ""
        if len(self.files) > 1:
            chosen = self.files[0].path
            folders = " into the same folders" if "/" in names else " into one folder"
        where = f"from {self.source} in a browser{folders}"
        return f"you can always download {names} {where} and choose {chosen} as BACKBONE"

    def pinned(self, revision: str, sha256: str) -> RegisteredBackbone:
        """The same with what a person knows of revision (40 hex digits) and weights (64); empty for nothing.

        Raises:
            ValueError: one of them has another form, or is missing; the sentence says where to look.
        """
        revision, sha256 = revision.strip().lower(), sha256.strip().lower()
        if revision and not REVISION.fullmatch(revision):
            raise ValueError(f"The revision '{revision}' is no commit of 40 hexadecimal digits")
        if sha256 and not SHA256.fullmatch(sha256):
            raise ValueError(f"The SHA-256 '{sha256}' does not have 64 hexadecimal digits")
        # The registry's digests are those of its own revision.
        own = revision in ("", self.revision) or not self.has_revisions
        files = self.files if own else tuple(replace(file, sha256="", bytes=0) for file in self.files)
        if sha256:
            files = (*files[:-1], replace(files[-1], sha256=sha256))
        found = replace(self, revision=revision or self.revision, files=files)
        missing = [] if found.revision or not self.has_revisions else ["REVISION"]
        missing += [] if found.weights.sha256 else ["SHA256"]
        if missing:
            raise ValueError(
                f"'{self.name}' is only downloaded with a known {' and '.join(missing)} "
                f"of {self.weights.path} ({self.pins_at})"
            )
        return found


def read_registry() -> tuple[RegisteredBackbone, ...]:
    """All backbones, the bundled one first.

    Raises:
        ValueError: the registry is missing or damaged; the sentence says where.
    """
    path = Path(os.environ.get(VARIABLE) or REGISTRY)
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["backbones"]
        backbones = tuple(_entry(entry) for entry in entries)
        if len({backbone.name for backbone in backbones}) != len(backbones):
            raise ValueError("a name is there twice")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"The registry of backbones {path} cannot be used ({error}); restore it.") from error
    return backbones


def _entry(data: dict[str, Any]) -> RegisteredBackbone:
    values = {field.name: _value(data[field.name], str(field.type)) for field in fields(RegisteredBackbone)[:-1]}
    kinds = {field.name: str(field.type) for field in fields(RegistryFile)}
    files = [RegistryFile(**{k: _value(item[k], kind) for k, kind in kinds.items()}) for item in data["files"]]
    entry = RegisteredBackbone(**values, files=tuple(files))
    _check(entry)
    return entry


def _value(value: Any, kind: str) -> Any:
    """A value of the kind "str" or "int"; null stands for an unknown one."""
    wanted = {"str": str, "int": int}[kind]
    if value is None:
        return wanted()
    if not isinstance(value, wanted):
        raise ValueError(f"{value!r} should be {kind}")
    return value


def _check(entry: RegisteredBackbone) -> None:
    problems = [
        (not NAME.fullmatch(entry.name), "its name"),
        (entry.revision and not REVISION.fullmatch(entry.revision), "its revision"),
        (entry.digest and not SHA256.fullmatch(entry.digest), "its digest"),
        (any(file.sha256 and not SHA256.fullmatch(file.sha256) for file in entry.files), "the SHA-256 of a file"),
        (any(not _stays_inside(file.path) for file in entry.files), "the path of a file"),
        (entry.files and not entry.weights.path.endswith(WEIGHTS), "its last file, which should be the weights"),
        (len({"{revision}" in file.url for file in entry.files}) > 1, "its addresses, of which some have no revision"),
    ]
    for wrong, what in problems:
        if wrong:
            raise ValueError(f"{entry.name}: {what}")


def _stays_inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and "\\" not in path and ":" not in path and not {"/", ".."} & set(parts)
