"""JSON lines with R1-V's or EasyR1's columns: both spellings, three ways to give an image, kinds inferred with care."""

import base64
import io
import json

import pytest
from PIL import Image

from medrl.data.adapters.jsonl import infer_kind, read
from medrl.data.sample import Refused, Sample
from medrl.errors import MedrlError


def png():
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2), (200, 10, 10)).save(buffer, "PNG")
    return buffer.getvalue()


def read_rows(tmp_path, *rows, **options):
    (tmp_path / "rows.jsonl").write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return list(read(tmp_path, "rows", **options))


def test_r1v_and_easyr1_columns_give_the_same_sample(tmp_path):
    r1v = {"image": "a.png", "problem": "Which? A)CT, B)MRI", "solution": "<answer> B </answer>"}
    easyr1 = {"images": ["a.png"], "question": "<image>Which?", "answer": "B", "options": {"A": "CT", "B": "MRI"}}
    one, other = read_rows(tmp_path, r1v, easyr1)
    assert one.messages == other.messages == ({"role": "user", "content": "<image>Which? A) CT, B) MRI"},)
    assert (one.images, one.ground_truth, one.kind, one.options) == (
        other.images,
        other.ground_truth,
        other.kind,
        other.options,
    )


@pytest.mark.parametrize("options", [["CT", "MRI"], {"A": "CT", "B": "MRI"}])
@pytest.mark.parametrize("answer", ["B", "MRI"])
def test_answer_may_be_the_letter_or_the_text_of_an_option(tmp_path, options, answer):
    (sample,) = read_rows(tmp_path, {"problem": "Which?", "answer": answer, "options": options}, kind="choice")
    assert (sample.ground_truth, sample.options) == ("B", {"A": "CT", "B": "MRI"})


@pytest.mark.parametrize(
    ("question", "answer", "options", "images", "kind"),
    [
        ("Which?", "B", {"A": "CT", "B": "MRI"}, 1, "choice"),
        ("Which?", "MRI", {"A": "CT", "B": "MRI"}, 1, "choice"),
        ("Which blood group?", "B", None, 1, "open_short"),  # a letter without options is no choice
        ("Is it?", "Yes", None, 1, "yes_no"),
        ("Is it?", "Yes, clearly", None, 1, "open_short"),
        ("How many nodules?", "3", None, 1, "count"),
        ("Which stage?", "3", None, 1, "open_short"),
        ("How many mm?", "3.5", None, 1, "open_short"),
        ("Where?", "[1, 2, 30, 40]", None, 1, "box"),
        ("Where?", "[1, 2, 30, 40]", None, 2, "open_short"),  # on which of them?
        ("Where?", "[30, 40, 1, 2]", None, 1, "open_short"),
        ("Where?", "[left]", None, 1, "open_short"),
    ],
)
def test_kind_is_inferred_only_where_it_is_plain(tmp_path, question, answer, options, images, kind):
    row = {"problem": question, "answer": answer, "options": options, "images": ["a.png"] * images}
    (sample,) = read_rows(tmp_path, row)
    assert sample.kind == kind
    assert (sample.options is not None) == (kind == "choice")


def test_kind_can_be_stated(tmp_path):
    (sample,) = read_rows(tmp_path, {"problem": "Tumour size?", "answer": "4 mm"}, kind="number_with_unit")
    assert sample.kind == "number_with_unit"
    assert infer_kind("Tumour size?", "4 mm", None, 0) == "open_short"


@pytest.mark.parametrize(
    ("value", "options"),
    [
        (base64.b64encode(png()).decode(), {"image_encoding": "base64"}),
        ([base64.b64encode(png()).decode()], {"image_encoding": "base64"}),
        ("data:image/png;base64," + base64.b64encode(png()).decode(), {}),
        ({"bytes": base64.b64encode(png()).decode()}, {}),
    ],
)
def test_base64_images_become_bytes(tmp_path, value, options):
    (sample,) = read_rows(tmp_path, {"problem": "Is it?", "answer": "no", "image": value}, **options)
    assert sample.images == ({"bytes": png()},)


def test_text_only_rows_and_lists_as_answers_are_fine(tmp_path):
    text, box = read_rows(
        tmp_path,
        {"problem": "Is it?", "answer": "NO"},
        {"problem": "Where?", "answer": [1, 2, 3, 4], "image": {"path": "a.png"}},
    )
    assert (text.images, text.ground_truth) == ((), "no")
    assert (box.images, box.ground_truth, box.kind) == (({"path": "a.png"},), "[1, 2, 3, 4]", "box")


def test_further_columns_reach_the_rewards(tmp_path):
    row = {
        "id": 7,
        "problem": "Is it?",
        "answer": "no",
        "patient_id": "p1",
        "difficulty": 0.5,
        "split": "x",
        "nested": {"a": 1},
    }
    (sample,) = read_rows(tmp_path, row, data_source="mine")
    assert sample.extra_info == {"id": "7", "split": "rows", "kind": "yes_no", "patient_id": "p1", "difficulty": 0.5}
    assert sample.data_source == "mine"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{not json", "not JSON"),
        ("[1, 2]", "a JSON list, expected an object"),
        ({"prompt": "Is it?", "answer": "no"}, "no value in problem or question; the columns are prompt, answer"),
        ({"problem": "Is it?", "answer": ""}, "no value in answer or solution"),
        (
            {"problem": "<image><image>Is it?", "answer": "no", "image": "a.png"},
            "the prompt has 2 `<image>` but the row has 1",
        ),
        ({"problem": "Is it?", "answer": "no", "image": 3}, "images[0] is '3', expected a path or base64 text"),
        ({"problem": "Is it?", "answer": "no", "image": {"bytes": "%%%"}}, "images[0] is no base64"),
    ],
)
def test_unusable_row_is_refused_with_its_line(tmp_path, row, reason):
    good, bad = read_rows(tmp_path, {"problem": "Is it?", "answer": "no"}, row)
    assert isinstance(good, Sample) and isinstance(bad, Refused)
    assert reason in bad.reason and bad.place == "rows line 2"


def test_lines_are_read_one_at_a_time(tmp_path):
    (tmp_path / "rows.jsonl").write_bytes(
        b'{"problem": "Is it?", "answer": "no"}\n\n' + b"x" * 100_000 + b"\n\xff\xfe\n"
    )
    items = read(tmp_path, "rows")
    assert isinstance(next(items), Sample)
    assert next(items).place == "rows line 3"  # blank lines count, as in an editor


def test_missing_file_is_an_error_that_shows_the_folder(tmp_path):
    (tmp_path / "other.jsonl").write_text("")
    with pytest.raises(MedrlError, match=r"no rows or rows.jsonl in .*; it holds other.jsonl"):
        list(read(tmp_path, "rows"))
    with pytest.raises(MedrlError, match="unknown image_encoding 'png'"):
        list(read(tmp_path, "other", image_encoding="png"))


def test_what_environments_know_of_a_picture_is_passed_on(tmp_path):
    raw = [{"path": "ct.nii.gz", "slice": 3}]
    row = {
        "problem": "Is it?",
        "answer": "no",
        "image": "a.png",
        "raw": raw,
        "pixel_spacing_mm": [0.7, 0.5],
        "other": [1],
    }
    (sample,) = read_rows(tmp_path, row)
    assert sample.extra_info["raw"] == raw and sample.extra_info["pixel_spacing_mm"] == [0.7, 0.5]
    assert "other" not in sample.extra_info
