"""Samples survive verl's parquet row both ways, and a row that cannot be trained on is named with its reason."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from medrl.data.adapters import parquet
from medrl.data.sample import Refused, Sample, from_row, make_sample, read_parquet, to_row, write_parquet
from medrl.errors import MedrlError


def png():
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2), (200, 10, 10)).save(buffer, "PNG")
    return buffer.getvalue()


def choice(number=0):
    return make_sample(
        id=f"t/{number}",
        data_source="t",
        question="Which? A) CT, B) MRI",
        images=[{"bytes": png()}],
        ground_truth="B",
        kind="choice",
        split="train",
        options={"A": "CT", "B": "MRI"},
        image_size=[3, 2],
        demonstration="<think>grey</think><answer>{ground_truth}</answer>",
    )


def box():
    return make_sample(
        id="t/box",
        data_source="t",
        question="Compare <image> with <image>. Where is it?",
        images=[{"path": "a/one.png"}, {"path": "two.png"}],
        ground_truth=[1, 2, 3, 4],
        kind="box",
        split="train",
        patient_id="p1",
        boxes=[[1, 2, 3, 4], [5, 6, 7, 8]],
    )


def text_only():
    return make_sample(
        id="t/q", data_source="t", question="Is it?", images=[], ground_truth="no", kind="yes_no", split="train"
    )


def row(**changes):
    """A sound row of another tool, with changes."""
    return {
        "data_source": "t",
        "prompt": [{"role": "user", "content": "<image>Is it?"}],
        "images": [{"bytes": b"x"}],
        "reward_model": {"style": "rule", "ground_truth": "no"},
        **changes,
    }


def same(sample, original, index):
    assert {**original.extra_info, "index": index} == sample.extra_info
    for name in ("id", "data_source", "messages", "images", "ground_truth", "ability", "agent_name"):
        assert getattr(sample, name) == getattr(original, name)


def test_round_trip_keeps_everything_for_bytes_paths_and_text_only_rows(tmp_path):
    originals = [choice(), box(), text_only()]  # different keys: parquet makes one struct of them all
    assert write_parquet(originals, tmp_path / "d" / "train.parquet") == 3
    read_back = list(read_parquet(tmp_path / "d" / "train.parquet", batch_rows=2))
    for index, (sample, original) in enumerate(zip(read_back, originals, strict=True)):
        same(sample, original, index)
    assert json.loads(read_back[1].ground_truth) == [1, 2, 3, 4]
    assert not list((tmp_path / "d").glob(".*"))  # the part file is gone


def test_second_round_trip_changes_nothing(tmp_path):
    write_parquet([choice(), box()], tmp_path / "one.parquet")
    write_parquet(read_parquet(tmp_path / "one.parquet"), tmp_path / "two.parquet")
    assert pq.read_table(tmp_path / "one.parquet").equals(pq.read_table(tmp_path / "two.parquet"))


def test_options_of_one_row_do_not_leak_into_another(tmp_path):
    three = make_sample(
        id="t/3", data_source="t", question="?", images=[], ground_truth="C", kind="choice", split="s",
        options={"A": "a", "B": "b", "C": "c"},
    )  # fmt: skip
    write_parquet([choice(), three], tmp_path / "t.parquet")
    first, second = read_parquet(tmp_path / "t.parquet")
    assert first.options == {"A": "CT", "B": "MRI"} and second.options == {"A": "a", "B": "b", "C": "c"}


def test_row_has_verls_columns_and_nothing_else():
    assert set(to_row(choice())) == {"data_source", "prompt", "images", "ability", "reward_model", "extra_info"}
    assert to_row(choice(), 7)["extra_info"]["index"] == 7
    assert to_row(choice())["reward_model"] == {"style": "rule", "ground_truth": "B"}


def test_datasets_reads_the_file_as_verl_does(tmp_path):
    import datasets

    write_parquet([choice(), box()], tmp_path / "train.parquet")
    # verl.utils.dataset.RLHFDataset: load_dataset("parquet", data_files=…)["train"], then the prompt and image keys of a row
    frame = datasets.load_dataset("parquet", data_files=str(tmp_path / "train.parquet"), cache_dir=str(tmp_path))[
        "train"
    ]
    first, second = frame[0], frame[1]
    assert first["prompt"] == [{"content": "<image>Which? A) CT, B) MRI", "role": "user"}]
    assert Image.open(io.BytesIO(first["images"][0]["bytes"])).size == (3, 2)
    assert [image["path"] for image in second["images"]] == ["a/one.png", "two.png"]
    assert second["reward_model"]["ground_truth"] == "[1, 2, 3, 4]"
    # and medrl reads what datasets writes
    frame.to_parquet(tmp_path / "again.parquet")
    for index, (sample, original) in enumerate(
        zip(read_parquet(tmp_path / "again.parquet"), [choice(), box()], strict=True)
    ):
        same(sample, original, index)


def test_row_whose_placeholders_differ_from_its_images_is_refused_by_number_and_reason(tmp_path):
    rows = [row(), row(prompt=[{"role": "user", "content": "<image><image>Is it?"}]), row(images=[])]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    good, two, none = read_parquet(tmp_path / "t.parquet")
    assert isinstance(good, Sample)
    assert two.place.endswith("t.parquet row 1") and none.place.endswith("t.parquet row 2")
    assert "2 `<image>` but the row has 1 images" in two.reason
    assert "1 `<image>` but the row has 0 images" in none.reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"reward_model": {"style": "rule", "ground_truth": None}}, "reward_model.ground_truth is missing"),
        ({"reward_model": {"style": "rule"}}, "reward_model.ground_truth is missing"),
        ({"reward_model": {"style": "rule", "ground_truth": "  "}}, "reward_model.ground_truth is empty"),
        ({"reward_model": None}, "no value in column reward_model"),
        ({"prompt": []}, "no value in column prompt"),
        ({"images": [{"bytes": None, "path": None}]}, "images[0] has neither bytes nor path"),
        ({"extra_info": {"kind": "choice", "options": {"A": "CT"}}}, "the answer 'no' is none of the options ['A']"),
    ],
)
def test_row_without_an_answer_or_prompt_is_refused(changes, reason):
    refused = from_row(row(**changes), "t.parquet row 3")
    assert isinstance(refused, Refused) and refused.place == "t.parquet row 3"
    assert reason in refused.reason


def test_row_of_another_tool_gets_an_id_and_keeps_its_answer():
    sample = from_row(
        row(reward_model={"ground_truth": [1, 2, 3, 4]}, extra_info={"index": 5}, images=[{"bytes": b"x"}]), "r"
    )
    assert (sample.id, sample.ground_truth, sample.kind, sample.options) == ("t/5", "[1, 2, 3, 4]", None, None)


def test_bad_sample_is_not_written(tmp_path):
    broken = make_sample(id="t/1", data_source="t", question="?", images=[], ground_truth="", kind="count", split="s")
    with pytest.raises(MedrlError, match=r"t.parquet: row 1 \(t/1\): .*ground_truth is empty"):
        write_parquet([choice(), broken], tmp_path / "t.parquet")
    with pytest.raises(MedrlError, match="not one sample to write"):
        write_parquet([], tmp_path / "t.parquet")
    assert not list(tmp_path.iterdir())


def test_agent_name_of_a_later_row_is_not_lost(tmp_path):
    from dataclasses import replace

    write_parquet([choice(), replace(choice(1), agent_name="zoom")], tmp_path / "t.parquet")
    assert [sample.agent_name for sample in read_parquet(tmp_path / "t.parquet")] == [None, "zoom"]


def test_structured_content_is_refused():
    content = [{"type": "text", "text": "Is it?"}]
    assert isinstance(from_row(row(prompt=[{"role": "user", "content": content}]), "t.parquet row 3"), Refused)


def test_parquet_adapter_reads_below_its_root_or_the_working_directory(tmp_path, monkeypatch):
    write_parquet([choice()], tmp_path / "train.parquet")
    (sample,) = parquet.read(tmp_path, "train.parquet")
    monkeypatch.chdir(tmp_path)
    assert [sample] == list(parquet.read(None, "train.parquet"))
    with pytest.raises(MedrlError, match=r"val.parquet: not a readable parquet file"):
        list(parquet.read(tmp_path, "val.parquet"))


def test_key_with_two_types_is_an_error_that_names_the_file(tmp_path):
    def rated(difficulty):
        return make_sample(
            id="t",
            data_source="t",
            question="?",
            images=[],
            ground_truth="no",
            kind="yes_no",
            split="s",
            difficulty=difficulty,
        )

    with pytest.raises(MedrlError, match=r"t.parquet: .*one type"):
        write_parquet([rated("hard"), rated(3)], tmp_path / "t.parquet")


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": "<image>Is it?"},
        {"prompt": [{"role": "user", "content": None}]},
        {"prompt": [{"role": "user"}]},
        {"reward_model": "no"},
        {"images": b"x"},
        {"images": ["a.png"]},
    ],
)
def test_row_of_the_wrong_shape_is_refused_not_a_crash(changes):
    assert isinstance(from_row(row(**changes), "t.parquet row 3"), Refused)
