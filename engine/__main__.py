"""The engine from a shell.

`python -m spectrafilm.engine serve` speaks the protocol of the plugin; any other word is a job:
`python -m spectrafilm.engine trainfilm --scene s.tif --polygons p.geojson --model m.safetensors`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from typing import Any, get_type_hints

from .jobs import JOBS
from .progress import Progress


class _Terminal(Progress):
    """Messages on standard error."""

    def info(self, text: str) -> None:
        print(text, file=sys.stderr)

    def warning(self, text: str) -> None:
        super().warning(text)
        print(f"Warning: {text}", file=sys.stderr)


def main() -> int:
    """Run what the command line asks for; the exit status."""
    if sys.argv[1:] == ["serve"]:
        from .protocol import end, serve

        end(serve())
    job = _parse(sys.argv[1:])
    from .errors import EngineError
    from .runner import run_job

    try:
        print(json.dumps(run_job(job, _Terminal())))
    except EngineError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def _parse(arguments: list[str]) -> Any:
    parser = argparse.ArgumentParser(prog="engine", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="job", required=True)
    for name, job in JOBS.items():
        command = commands.add_parser(name, help=(job.__doc__ or "").splitlines()[0])
        hints = get_type_hints(job)
        for f in dataclasses.fields(job):
            required = f.default is dataclasses.MISSING
            kind = hints[f.name]
            options: dict[str, Any] = {"required": required}
            if not required:
                options["default"] = f.default
            if kind == tuple[int, ...]:
                options |= {"type": int, "nargs": "*"}
            elif kind == tuple[str, ...]:
                options |= {"nargs": "*"}
            elif kind is bool:
                options["action"] = argparse.BooleanOptionalAction
            else:
                options["type"] = kind
            command.add_argument(f"--{f.name.replace('_', '-')}", **options)
    values = vars(parser.parse_args(arguments))
    kind = JOBS[values.pop("job")]
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


if __name__ == "__main__":
    sys.exit(main())
