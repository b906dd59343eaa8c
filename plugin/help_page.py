"""The user guide as a page that every browser shows: few machines know what to do with Markdown."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QUrl
from qgis.PyQt.QtGui import QTextDocument

from .paths import USER_GUIDE

HEAD = '<head><meta charset="utf-8"><style>body {max-width: 50em; margin: 1em auto} img {max-width: 100%}</style>'


@cache
def help_address() -> str:
    """The address of the page, which is made once a session; of the guide itself where it cannot be written."""
    page = Path(QgsApplication.qgisSettingsDirPath()) / "spectrafilm" / "user_guide.html"
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(_as_html(USER_GUIDE.read_text(encoding="utf-8")), encoding="utf-8")
    except OSError:
        page = USER_GUIDE
    return str(QUrl.fromLocalFile(str(page)).toString())


def _as_html(markdown: str) -> str:
    document = QTextDocument()
    document.setMarkdown(markdown)
    html = document.toHtml().replace("<head>", HEAD, 1)
    # Qt gives headings no names, and knows nothing of where the page will lie.
    html = re.sub(r"<h(\d)(.*?)</h\1>", lambda m: f'<h{m[1]} id="{_anchor(m[2])}"{m[2]}</h{m[1]}>', html, flags=re.S)
    folder = QUrl.fromLocalFile(str(USER_GUIDE.parent)).toString()
    return re.sub(r'(src|href)="(?!#|\w+:)', rf'\1="{folder}/', html)


def _anchor(heading: str) -> str:
    """The name of a heading (with its tags) in links within the guide."""
    words = re.sub(r"^[^>]*>|<[^>]*>", "", heading)
    return re.sub(r"[^\w -]", "", words).strip().lower().replace(" ", "-")
