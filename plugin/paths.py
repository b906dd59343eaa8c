"""Where things lie in the plugin's folder."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAUNCHER = ROOT / "engine" / "launch.py"
REQUIREMENTS = ROOT / "resources" / "requirements.txt"
ICONS = ROOT / "resources" / "icons"
USER_GUIDE = ROOT / "docs" / "user_guide.md"
MODELS = ROOT / "resources" / "models"
