"""Where things lie in the plugin's folder."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAUNCHER = ROOT / "engine" / "launch.py"
REQUIREMENTS = ROOT / "resources" / "requirements.txt"
ICONS = ROOT / "resources" / "icons"
USER_GUIDE = ROOT / "docs" / "user_guide.md"
MODELS = ROOT / "resources" / "models"


def chosen_folder(text: str) -> Path:
    """The folder that a user has written, from the beginning; `~` is the user's own."""
    return Path(os.path.expanduser(text)).absolute()  # noqa: PTH111  (Path's raises for users that do not exist)
