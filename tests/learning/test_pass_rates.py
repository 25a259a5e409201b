"""A file of pass rates is whole and of these samples, or nothing is trained on it."""

import json
from pathlib import Path

import pytest
from makers import samples

from medrl.data.source import DataSet
from medrl.errors import MedrlError
from medrl.learning.pass_rates import PassRates, coverage_faults, read_pass_rates, shared_ids

LINES = [json.dumps({"sample_id": f"s/{number}", "pass_rate": number / 4}) + "\n" for number in range(4)]


def written(folder, text):
    (folder / "rates.jsonl").write_text(text)
    return folder / "rates.jsonl"


def test_a_file_made_elsewhere_needs_no_header(tmp_path):
    found = read_pass_rates(written(tmp_path, "".join(LINES) + '{"sample_id": "t", "pass_rate": null}\n'))
    assert found.rates == {"s/0": 0.0, "s/1": 0.25, "s/2": 0.5, "s/3": 0.75, "t": None} and found.header == {}
    assert len(found.sha256) == 64


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("".join(LINES)[:-9], "line 4 is cut off"),
        ("".join(LINES)[:-1], "line 4 is cut off"),  # only the end of the line: 0.75 may have been 0.7512
        ("".join(["{}}\n", *LINES]), "line 1 is not one JSON object"),
        ("".join([*LINES, LINES[0]]), "line 5: s/0 stands in it twice"),
        ('{"measured": "x", "samples": 5}\n' + "".join(LINES), "4 of 5 samples are measured. Run the same"),
        (LINES[3].replace("0.75", "1.5"), "line 1: sample_id='s/3', pass_rate=1.5; expected text, and a share"),
        (LINES[3].replace("0.75", "NaN"), "pass_rate=nan"),
        (LINES[3].replace("0.75", "true"), "pass_rate=True"),
        ('{"measured": "x", "samples": 1}\n{"sample_id": "s"}\n', "line 2: sample_id='s', pass_rate='missing'"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path, text, told):
    with pytest.raises(MedrlError) as caught:
        read_pass_rates(written(tmp_path, text))
    assert told in str(caught.value)


def test_rates_of_other_data_or_not_of_all_samples_are_refused():
    three = samples(3)
    data = DataSet(three, [], "a" * 64, Path())
    rates: dict[str, float | None] = {sample.id: 0.5 for sample in three}
    assert coverage_faults(PassRates(Path("x"), "", {"data_sha256": "a" * 64}, rates), data, three) == []
    (told,) = coverage_faults(PassRates(Path("x"), "", {"data_sha256": "b" * 64}, rates), data, three)
    assert "measured on other data (sha256 bbbbbbbbbbbb…, that of data.train is aaaaaaaaaaaa…)" in told
    (told,) = coverage_faults(PassRates(Path("x"), "", {}, {three[0].id: None}), data, three)
    assert f"2 of 3 samples have no measured rate: {three[1].id}, {three[2].id}. Measure" in told


def test_one_id_for_two_questions_is_a_fault_and_the_same_question_twice_is_not():
    one, other = samples(1)[0], samples(1, seed=1)[0]
    assert one.id == other.id and shared_ids([one, one, samples(1)[0]]) == []
    assert "1 ids name more than one training sample, such as phantom/count/0" in shared_ids([one, other])[0]
