"""A notebook shows a Field; run by nbclient, where there is one."""

import base64
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import siren_codec

nbclient = pytest.importorskip("nbclient", reason="needs nbclient")
nbformat = pytest.importorskip("nbformat", reason="needs nbformat")
pytest.importorskip("ipykernel", reason="needs ipykernel")

GOLDEN = Path(__file__).parent / "golden" / "rgb_8_grid.siren"


@pytest.mark.filterwarnings("ignore")
def test_a_notebook_shows_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    shutil.copy(GOLDEN, tmp_path / "a.siren")
    cells = ["import siren_codec", "siren_codec.open('a.siren')"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
    nbclient.NotebookClient(
        notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    (shown,) = notebook.cells[1].outputs
    field = siren_codec.open(GOLDEN)
    assert shown.data["text/plain"] == repr(field)
    assert "<iframe" in shown.data["text/html"]
    with Image.open(io.BytesIO(base64.b64decode(shown.data["image/png"]))) as image:
        assert np.array_equal(np.asarray(image), field.render())
