"""`medrl data audit` and the gate data.max_shortcut as a user meets them."""

import json

import pytest
from makers import RECIPE
from omegaconf import OmegaConf
from planted import encoded, picture, questions
from test_cli import run

from medrl.data.sample import write_parquet
from medrl.errors import MedrlError
from medrl.recipe_file import load_recipe


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A recipe over planted data: a tell-tale option in most questions, and 5 held-out pictures that train shows too."""
    monkeypatch.chdir(tmp_path)
    shown = [encoded(picture(number, (56, 56))) for number in range(40)]
    for name, first in (("train", 0), ("val", 15)):
        samples = questions(name, 20, first + 1, prior=0.9, image=lambda number, first=first: shown[first + number])
        write_parquet(samples, tmp_path / f"{name}.parquet")
    given = {
        **RECIPE,
        "data": {"root": ".", "train": "train.parquet", "val": "val.parquet"},
        "rewards": {"answer": {"use": "rewards/choice.py"}},
        "sft": {"steps": 0},
    }
    OmegaConf.save(OmegaConf.create(given), tmp_path / "mine.yaml")
    return tmp_path


def test_audit_prints_for_people_and_scripts_and_fails_at_the_limit(here, monkeypatch, capsys):
    code, out, err = run(monkeypatch, capsys, "data", "audit", "mine.yaml", "--json", "--html", "page.html")
    told = json.loads(out)
    assert (code, told["html"], told["max_shortcut_reached"]) == (0, "page.html", False), err
    assert (here / "page.html").stat().st_size > 1000
    leak = told["leaks"][0]
    assert (leak["also_in_train_by_bytes"], leak["held_out_pictures"], len(leak["pairs"])) == (5, 20, 5)
    assert told["strongest_shortcut"]["accuracy"] >= 0.8 and told["findings"][0].startswith("5 of 20 pictures of val")
    code, out, _ = run(monkeypatch, capsys, "data", "audit", "mine.yaml", "data.max_shortcut=0.6")
    assert code == 1 and "option prior" in out and "5 of 20" in out and "would not start" in out


def test_check_tells_the_shortcut_and_the_gate_stops_a_run(here, monkeypatch, capsys):
    code, out, err = run(monkeypatch, capsys, "check", "mine.yaml", "--json")
    told = json.loads(out)
    assert code == 0 and "without the picture" in told["without_the_picture"], err
    assert told["warnings"] == [f"shortcut: {told['without_the_picture']}."]
    code, _, err = run(monkeypatch, capsys, "train", "mine.yaml", "data.max_shortcut=0.6")
    assert code == 2 and "data.max_shortcut=0.6: " in err and "choice questions of val" in err
    assert not (here / "runs").exists()
    assert run(monkeypatch, capsys, "check", "mine.yaml", "data.max_shortcut=1.0", "--json")[0] == 0


@pytest.mark.parametrize("limit", [0, -0.5, 1.5])
def test_a_limit_that_is_no_accuracy_is_a_mistake_of_the_recipe(here, limit):
    with pytest.raises(MedrlError, match=r"data\.max_shortcut=.* an accuracy is expected"):
        load_recipe(here / "mine.yaml", [f"data.max_shortcut={limit}"])
