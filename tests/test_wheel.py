"""The wheel carries what a recipe names, so the same recipe works after `pip install medrl`."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.mark.cluster
def test_a_shipped_recipe_runs_from_an_installed_wheel(tmp_path):
    subprocess.run(["uv", "build", "--quiet", "--wheel", "--out-dir", str(tmp_path), str(REPOSITORY)], check=True)
    wheel = next(tmp_path.glob("*.whl"))
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("rewards", "recipes", "slurm"):
        for path in (REPOSITORY / folder).rglob("*.*"):
            if "__pycache__" not in path.parts:
                assert f"medrl/_bundled/{path.relative_to(REPOSITORY).as_posix()}" in names
    pages = {f"medrl/record/{page}.{part}" for page in ("report", "rollouts") for part in ("html.jinja", "css", "js")}
    assert pages | {"medrl/dialogue/templates/think.jinja"} <= names
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    checked = subprocess.run(
        [sys.executable, "-c", "from medrl.cli import main; main()", "check", "recipes/quickstart.yaml", "--json"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0 and "_bundled/rewards/count.py" in checked.stdout, checked.stderr
