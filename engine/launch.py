"""Start the engine of the plugin folder that this file lies in.

Run by path, with `python -I`: nothing but the interpreter's own packages is importable, and the
plugin's folder may have any name.
"""

import importlib.util
import sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location(
    "spectrafilm", root / "__init__.py", submodule_search_locations=[str(root)]
)
if spec is None or spec.loader is None:
    raise SystemExit(f"{root} is not the plugin's folder")
sys.modules["spectrafilm"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["spectrafilm"])

from spectrafilm.engine.__main__ import main  # noqa: E402

sys.exit(main())
