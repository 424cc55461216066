"""The runner as one file: everything in ``edgekd.board``, as an archive that Python runs."""

import io
import zipfile
from functools import cache
from importlib.resources import files

_MAIN = "import runpy\nrunpy.run_module('edgekd.board', run_name='__main__')\n"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same sources make the same bytes


@cache
def runner_archive() -> bytes:
    """Return a zip file that ``python FILE serve FOLDER`` runs, with Python 3.8 or newer."""
    sources = {
        f"edgekd/board/{found.name}": found.read_text(encoding="utf-8")
        for found in files("edgekd.board").iterdir()
        if found.name.endswith(".py")
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in sorted({**sources, "edgekd/__init__.py": "", "__main__.py": _MAIN}.items()):
            archive.writestr(zipfile.ZipInfo(name, _LONG_AGO), text, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
