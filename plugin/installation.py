"""The making of the compute environment: a virtual environment with the packages that the engine needs."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, TypeVar

from qgis.core import QgsProcessingException, QgsProcessingFeedback
from qgis.PyQt.QtCore import QLockFile

from ..engine.partial_outputs import ATTEMPTS, tries
from .environment import (
    BEGUN,
    MARKER,
    NO_WINDOW,
    closed_folder_reported,
    interpreter_of,
    is_complete,
    variables_for_python,
)
from .paths import REQUIREMENTS

# Those that the torch of the requirements has packages for.
MINIMUM_PYTHON, NEWEST_PYTHON = (3, 10), (3, 14)
# Where Homebrew and the installers of python.org put it: on macOS programs do not know the PATH of a shell, and on
# Windows QGIS changes it.
PLACES = ("/opt/homebrew/bin", "/usr/local/bin")
PLACES_ON_WINDOWS = (
    ("LOCALAPPDATA", "Programs/Python/Python3{}"), ("LOCALAPPDATA", "Python/pythoncore-3.{}-64"),
    ("PROGRAMFILES", "Python3{}"),
)  # fmt: skip
EXPECTED_PACKAGES = 45
# Windows refuses longer paths unless it is told otherwise; the longest within torch's wheel is that of a licence.
LONGEST_PATH, LONGEST_IN_PACKAGES = 259, 171
POLL_SECONDS = 0.2
INTEL_MAC = "darwin-x86_64"
Result = TypeVar("Result")


@dataclass(frozen=True)
class Installation:
    """How an environment is made.

    Attributes:
        folder: where.
        base: interpreter to start from; empty to search for one.
        wheels: folder of wheels for an installation without a network; empty for none.
        index: address of a package index that replaces the default; empty for none.
        extra_index: address of an index that is asked as well; empty for none.
        proxy: address of a proxy; empty for none.
    """

    folder: Path
    base: str = ""
    wheels: str = ""
    index: str = ""
    extra_index: str = ""
    proxy: str = ""


def make_environment(
    installation: Installation, check: Callable[[], Result], feedback: QgsProcessingFeedback
) -> Result:
    """Make a virtual environment, install the requirements into it, and return what a check of it says.

    Where any of it fails or is cancelled, the environment that was there before is back, if any, and nothing else is
    left.

    Raises:
        QgsProcessingException: with what is wrong and what to do.
    """
    folder = installation.folder
    with closed_folder_reported(folder):
        if folder.is_symlink():  # to another disk, say, where the environment before must stay, too
            folder = folder.resolve()
        if folder.exists() and not folder.is_dir():
            raise QgsProcessingException(f"{folder} is a file; choose a folder for the environment.")
        ours = (folder / MARKER).is_file() or (folder / BEGUN).is_file()
        used = folder.exists() and any(folder.iterdir())
    if used and not ours:
        raise QgsProcessingException(
            f"The folder {folder} is not empty and no environment made by SpectraFiLM; choose another folder, or "
            "delete this one if you do not need it."
        )
    _check_length(folder)
    base = _base_interpreter(installation.base)
    feedback.pushInfo(f"Making an environment in {folder} from {base}.")
    with _alone(folder), _replacing(folder):
        # Gigabytes, for which the usual folder may have no room, and which would stay there after a cancel.
        temporary = folder / "temporary"
        temporary.mkdir()
        variables = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))
        _run(
            [base, "-m", "venv", str(folder)], feedback, (0.0, 4.0),
            "The virtual environment could not be made; check the space on the disk, and on Debian and Ubuntu install "
            "the package python3-venv", variables,
        )  # fmt: skip
        # Users may have set pip to install into their own folder, which no virtual environment allows.
        pip = [
            str(interpreter_of(folder)), "-m", "pip", "install", "--no-input", "--no-user",
            "--disable-pip-version-check",
        ]  # fmt: skip
        lacking = "check the network, the proxy and the space on the disk"
        if installation.wheels:
            pip += ["--no-index", "--find-links", installation.wheels]
            lacking = f"check what {installation.wheels} holds, and the space on the disk"
        if installation.index:
            pip += ["--index-url", installation.index]
        if installation.extra_index:
            pip += ["--extra-index-url", installation.extra_index]
        # Not as an argument, which everybody on the machine can read: it may hold a password.
        proxy = {"PIP_PROXY": installation.proxy} if installation.proxy else {}
        _run(
            [*pip, "--requirement", str(REQUIREMENTS)], feedback, (4.0, 85.0),
            f"The packages could not be installed; {lacking}", variables | proxy,
        )  # fmt: skip
        shutil.rmtree(temporary, ignore_errors=True)
        return check()


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other run makes the environment in this folder meanwhile."""
    with contextlib.suppress(OSError):  # what is wrong is said where the folder itself is made
        folder.parent.mkdir(parents=True, exist_ok=True)
    file = str(folder) + ".lock"
    lock = QLockFile(file)
    lock.setStaleLockTime(0)  # only that of a program that has ended
    if not lock.tryLock(0) and lock.error() == QLockFile.LockError.LockFailedError:
        raise QgsProcessingException(
            f"Another run is making the environment {folder} just now; wait for its end, or delete {file} if it was on "
            "another computer and has ended."
        )
    try:
        yield
    finally:
        lock.unlock()


@contextlib.contextmanager
def _replacing(folder: Path) -> Iterator[None]:
    """An empty folder marked as ours; if what is done in it fails, the environment that was there before."""
    before = folder.with_name(folder.name + ".before")
    if before.exists() and not (before / MARKER).is_file():
        raise QgsProcessingException(f"{before} is in the way; move or rename it.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if is_complete(folder):
            shutil.rmtree(before, ignore_errors=True)
            folder.rename(before)
        shutil.rmtree(folder, ignore_errors=True)
        # A folder that was made for the user by another may be all that can be written to.
        folder.mkdir(exist_ok=not any(folder.glob("*")))
        (folder / BEGUN).touch()
    except OSError as error:
        raise QgsProcessingException(
            f"{folder} cannot be written to ({error.strerror}); close what uses it, or choose another."
        ) from error
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # the error that led here is what a user must know
            _delete(folder)
            if folder.exists():
                (folder / BEGUN).touch()
            elif before.exists():
                before.rename(folder)
        raise
    shutil.rmtree(before, ignore_errors=True)


def _delete(folder: Path) -> None:
    """Delete a folder, of which a process that was ended may hold files a little longer on Windows."""
    for _ in tries(ATTEMPTS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return


def _check_length(folder: Path) -> None:
    """Refuse a folder in which packages would have paths that are too long for Windows."""
    most = LONGEST_PATH - len("\\Lib\\site-packages\\") - LONGEST_IN_PACKAGES
    if len(str(folder)) > most and not _long_paths_allowed():
        raise QgsProcessingException(
            f"The folder {folder} is too deep for Windows, which allows paths of {LONGEST_PATH} characters; choose "
            f"another one, with at most {most} characters, such as C:\\SpectraFiLM."
        )


def _long_paths_allowed() -> bool:
    if os.name != "nt":
        return True
    import winreg

    with contextlib.suppress(OSError):
        place = r"SYSTEM\CurrentControlSet\Control\FileSystem"
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, place) as key:  # type: ignore[attr-defined]
            return bool(winreg.QueryValueEx(key, "LongPathsEnabled")[0])  # type: ignore[attr-defined]
    return False


def _base_interpreter(given: str) -> str:
    """An interpreter of a version that will do; inside QGIS `sys.executable` may be QGIS itself."""
    name = "python.exe" if os.name == "nt" else "python3"
    candidates = [given] if given else [
        # An embedded Python may take the first one on the PATH for its executable; its prefix tells where it is from.
        str(Path(sys.exec_prefix) / name), str(Path(sys.exec_prefix) / "bin" / name),
        sys.executable if Path(sys.executable or "").name.lower().startswith("python") else "",
        # Before the one that macOS has: where its tools for developers are not installed, that only asks for them.
        *_installed_versions(), shutil.which(name) or "",
    ]  # fmt: skip
    seen = []
    for candidate in dict.fromkeys(c for c in candidates if c and (Path(c).is_file() or shutil.which(c))):
        version, platform = _version_of(candidate)
        if platform == INTEL_MAC:
            seen.append(
                f"{candidate} runs as a program for Intel, for which torch has no packages on macOS; where QGIS is "
                "made for Intel, use a Python made for Apple silicon only, such as Homebrew's"
            )
            continue
        if MINIMUM_PYTHON <= version <= NEWEST_PYTHON:
            return candidate
        seen.append(f"{candidate} is {'.'.join(map(str, version)) or 'no Python'}")
    wanted = " to ".join(".".join(map(str, version)) for version in (MINIMUM_PYTHON, NEWEST_PYTHON))
    found = "; ".join(seen) if seen else f"{given} is no program" if given else "none was found"
    raise QgsProcessingException(
        f"Python {wanted} is needed to make the environment ({found}); install one and choose its interpreter under "
        "'Base interpreter'."
    )


def _installed_versions(windows: bool = os.name == "nt") -> Iterator[str]:
    """Interpreters beside QGIS of versions that will do, the newest first; on Windows, where they would be."""
    known = os.pathsep.join([os.environ.get("PATH", ""), *PLACES])
    for minor in range(NEWEST_PYTHON[1], MINIMUM_PYTHON[1] - 1, -1):
        if windows:
            for variable, folder in PLACES_ON_WINDOWS:
                yield str(Path(os.environ.get(variable, ""), folder.format(minor), "python.exe"))
        else:
            yield shutil.which(f"python3.{minor}", path=known) or ""


def _version_of(python: str) -> tuple[tuple[int, ...], str]:
    """Version of an interpreter, () where it is none, and its system and processor, as in "darwin-x86_64"."""
    code = "import sys, platform; print(f'{sys.platform}-{platform.machine()}', *sys.version_info[:2])"
    try:
        answer = subprocess.run(
            [python, "-I", "-c", code], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
            check=True, env=variables_for_python(), creationflags=NO_WINDOW,
        )  # fmt: skip
        platform, *version = answer.stdout.split()
        return tuple(map(int, version)), platform
    except (OSError, ValueError, subprocess.SubprocessError):
        return (), ""


def _run(
    command: Sequence[str], feedback: QgsProcessingFeedback, span: tuple[float, float], problem: str,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> None:  # fmt: skip
    """Run a command with progress, cancel and further variables; its last line completes the sentence `problem`."""
    environment = variables_for_python() | {"PYTHONIOENCODING": "utf-8"} | dict(variables)
    try:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
            env=environment, encoding="utf-8", errors="replace", creationflags=NO_WINDOW,
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        # As where programs may only run from some folders.
        raise QgsProcessingException(f"{command[0]} cannot be started ({error.strerror or error}).") from error
    lines: queue.Queue[str | None] = queue.Queue()

    def listen(stream: IO[str]) -> None:
        with stream:
            for line in stream:
                lines.put(line.rstrip())
        lines.put(None)

    threading.Thread(target=listen, args=(process.stdout,), daemon=True).start()
    low, high = span
    shown, last = low, "no message"
    while True:
        if feedback.isCanceled():
            _end(process)
            raise QgsProcessingException("The run was cancelled; no environment was made.")
        try:
            line = lines.get(timeout=POLL_SECONDS)
        except queue.Empty:
            shown += 0.001 * (high - shown)
            feedback.setProgress(shown)
            continue
        if line is None:
            break
        if line:
            feedback.pushConsoleInfo(line)
            last = line if not line.startswith("[notice]") else last
            shown += (high - shown) / EXPECTED_PACKAGES
            feedback.setProgress(shown)
    if process.wait() != 0:
        raise QgsProcessingException(f"{problem} ({last}).")
    feedback.setProgress(high)


def _end(process: subprocess.Popen[str]) -> None:
    """End a command and the processes it has started: `venv` has two do its work, which would go on in its folder."""
    with contextlib.suppress(OSError):
        if os.name == "nt":
            subprocess.run(
                ["taskkill", "/F", "/T", "/PID", str(process.pid)], stdin=subprocess.DEVNULL, capture_output=True,
                creationflags=NO_WINDOW, check=False,
            )  # fmt: skip
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
