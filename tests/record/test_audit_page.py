"""The audit's page: what it shows, that it stays small, and that nothing of the data is trusted on it or told needlessly."""

import re

import numpy as np
import pytest
from PIL import Image
from planted import encoded, picture, questions

from medrl.data.sample import make_sample
from medrl.errors import MedrlError
from medrl.evaluation.audit import audit
from medrl.record.audit_page import SHOWN_PAIRS, write_audit_page

HOSTILE = "<script>alert(1)</script>\u202e"


def test_the_page_shows_rules_copies_and_findings(tmp_path):
    shown = [encoded(picture(number)) for number in range(30)]
    train = questions("train", 30, 1, prior=0.9, image=lambda number: shown[number])
    val = questions("val", 30, 2, prior=0.9, image=lambda number: shown[number])
    found = audit({"train": train, "val": val}, tmp_path, max_shortcut=0.6)
    text = write_audit_page(found, tmp_path / "audit.html", "planted", tmp_path).read_text()
    assert found.refused and "limit reached" in text and "data.max_shortcut=0.6" in text
    assert text.count("<article") == SHOWN_PAIRS and f"{SHOWN_PAIRS} of the 30 are shown" in text
    for finding in found.findings():
        assert f"<li>{finding}.</li>" in text
    best = found.strongest
    assert f'<td class="right">{100 * best.accuracy:.1f}</td>' in text and f"--at:{100 * best.chance:.1f}%" in text
    assert text.count('<tr class="out">') == sum(one.stands_out for one in found.shortcuts) > 0


def test_names_are_escaped_and_patients_and_folders_are_not_told(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(encoded(picture(1)))

    def one(split, **more):
        return make_sample(id=f"{split}/{HOSTILE}", data_source="t", question="Mass?", ground_truth="yes", split=split,
                           kind=HOSTILE, patient_id="Jane Doe", **more)  # fmt: skip

    by_path = [{"path": str(tmp_path / "pictures" / "a.png")}]
    train = [one("train", images=[{"bytes": encoded(picture(1))}]) for _ in range(2)]
    found = audit({"train": train, "val": [one("val", images=by_path)]}, tmp_path)
    text = write_audit_page(found, tmp_path / "audit.html", HOSTILE, tmp_path).read_text()
    assert found.leaks[0].patients == 1 and found.leaks[0].copies == 1
    assert "<script" not in text and "\u202e" not in text and "&lt;script&gt;" in text
    assert "Jane Doe" not in text and str(tmp_path) not in text and "a.png" in text
    assert not re.search(r"(src|href)=\"(?!data:|#)", text)  # it loads nothing


def test_the_page_stays_below_five_megabytes(tmp_path):
    rng = np.random.default_rng(0)
    noise = [
        encoded(Image.fromarray(rng.integers(0, 256, (240, 240, 3), dtype=np.uint8))) for _ in range(SHOWN_PAIRS + 1)
    ]
    sides = [questions(split, len(noise), 1, image=lambda number: noise[number]) for split in ("train", "val")]
    page = write_audit_page(
        audit({"train": sides[0], "val": sides[1]}, tmp_path), tmp_path / "audit.html", "noise", tmp_path
    )
    assert page.read_text().count("<img") == 2 * SHOWN_PAIRS and page.stat().st_size < 2_000_000


def test_a_folder_that_is_not_there_is_told(tmp_path):
    found = audit({"train": questions("train", 5, 1), "val": questions("val", 5, 2)}, tmp_path)
    with pytest.raises(MedrlError, match="its folder does not exist"):
        write_audit_page(found, tmp_path / "none" / "audit.html", "x", tmp_path)
    text = write_audit_page(found, tmp_path / "audit.html", "x", tmp_path).read_text()
    assert "nothing found" in text
