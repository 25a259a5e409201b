"""The rollouts page: what it says of real episodes, that it stays small, and that nothing on it is trusted."""

import base64
import hashlib
import io
import json
import random
import re
import shutil

import pytest
from makers import tiny
from PIL import Image
from report_runs import Page, change_rows
from rollout_runs import HOSTILE, single_turn_run, zoom_run

from medrl.errors import MedrlError
from medrl.record import rollouts_page
from medrl.record.album import name_of, own_name, read_album, write_album
from medrl.record.rollouts_page import write_rollouts_page
from medrl.record.run import Run
from medrl.record.view import view_run


@pytest.fixture(scope="module")
def loaded():
    return tiny()


@pytest.fixture(scope="module")
def played(tmp_path_factory, loaded):
    """One group of eight real episodes; copied before it is changed."""
    return zoom_run(tmp_path_factory.mktemp("played"), loaded, questions=1)


@pytest.fixture
def run(played, tmp_path):
    return shutil.copytree(played, tmp_path / "zoom")


def html(run_dir, **more):
    return write_rollouts_page(run_dir, **more).path.read_text(encoding="utf-8")


# --- what it says -----------------------------------------------------------------------------------------------------


def test_an_episode_is_told_from_the_question_to_what_it_was_worth(run):
    page = Page(html(run))
    assert page.count("article", "attempt") == page.count("li", "cell") == 8
    start = page.text.find("Attempt 0")
    for part in ["right", "ended: eos", "answer111", "thought10.20.2", "tool10.50.5", "reward1.7",
                 "pushed towards this attempt", "tokens are the model's own", "Model, turn 1", "there", "1zoom", "done",
                 "pixelsx 0–112, y 0–112", "share of the picture6 %", "overlap with the lesion", "Environment",
                 "masked, not trained on", "picture 1, 448 × 448 px", "Model, turn 2", "Attempt 1"]:  # fmt: skip
        assert (start := page.text.find(part, start)) >= 0, part
    assert "448 × 448 px; the model sees 112 × 112" in page.text
    assert "the limit of turns was reached" in page.text
    assert "there is no image 7" in page.text  # what a refused action was told
    assert "the text inside <tool_call> is not a JSON object" in page.text


def test_a_group_that_was_left_out_says_why(run):
    change_rows(run / "rollouts/step_000001.jsonl", filtered=True, advantage=None)
    page = Page(html(run))
    assert page.text.count("Its group was left out of the update") == 8 and "pushed towards" not in page.text


def test_every_confirmed_action_has_one_numbered_box_that_names_its_turn(run):
    rows = [json.loads(line) for line in (run / "rollouts/step_000001.jsonl").read_text().splitlines()]
    expected = [
        (f"1-1-{row['attempt']}", f"1-1-{row['attempt']}-t{place}")
        for row in rows
        for place, turn in enumerate(row["turns"], start=1)
        if turn["confirmed"]
    ]
    page = Page(html(run))
    marks = [(a["data-of"], a["data-turn"]) for tag, a in page.tags if tag == "g" and "data-turn" in a]
    assert marks == expected and len(marks) >= 8
    assert {turn for _, turn in marks} <= {a.get("id") for tag, a in page.tags if tag == "li"}


def test_pictures_come_from_the_run_alone_each_once_where_they_are_equal(run):
    found = html(run)
    album = read_album(run / "rollouts/step_000001.zip")
    own, shown = re.findall(r'<img src="data:image/jpeg;base64,([^"]+)" (width|alt)', found), album.values()
    assert {base64.b64decode(data) for data, _ in own} == set(shown)
    assert [kind for _, kind in own].count("width") == 1  # the question's, once for all its attempts
    (run / "rollouts/step_000001.zip").unlink()
    without = html(run)
    assert "<img" not in without and without.count("picture not kept") > 5


def test_single_turns_have_pages_and_older_runs_show_the_pictures_the_report_kept(tmp_path, loaded):
    run_dir = single_turn_run(tmp_path, loaded)
    page = Page(html(run_dir))
    assert page.count("article", "attempt") == 8
    assert "Model8 tokens, trained on" in page.text and "Environment" not in page.text and "actions" not in page.text
    (run_dir / "rollouts/step_000001.zip").unlink()
    row = json.loads((run_dir / "rollouts/step_000001.jsonl").read_text().splitlines()[0])
    (run_dir / "images").mkdir()
    Image.new("RGB", (50, 50), "red").save(run_dir / row["images"][0])
    assert html(run_dir).count("<img") == 1


def test_report_and_rollouts_link_to_each_other(run):
    found = view_run(run, None, 64, None)
    assert found["shown"] == found["of_rollouts"] == 8 and found["steps"] == [1] and found["recorded_steps"] == 1
    links = [a.get("href") for tag, a in Page((run / "rollouts.html").read_text()).tags if tag == "a"]
    assert "report.html" in links
    assert 'href="rollouts.html"' in (run / "report.html").read_text()
    elsewhere = run.parent / "elsewhere.html"
    assert view_run(run, elsewhere, 64, None)["rollouts"] == str(elsewhere)
    assert "report.html" not in elsewhere.read_text()


def test_the_page_says_what_it_was_chosen_from(run):
    whole = (run / "rollouts/step_000001.jsonl").read_text()
    for step in range(2, 31):
        (run / f"rollouts/step_{step:06d}.jsonl").write_text(whole)
    (run / "rollouts/step_000001.zip").unlink()
    page = Page(html(run, most=16))
    assert page.count("article", "attempt") == 16
    assert "16 of the 32 rollouts of steps 1, 11, 20, 30 (30 steps recorded): whole groups" in page.text


def test_a_run_without_rollouts_is_an_error_and_has_its_report_all_the_same(tmp_path):
    (tmp_path / "recipe.yaml").write_text("{}")
    with pytest.raises(MedrlError, match="no rollouts yet"):
        view_run(tmp_path, None, 64, None)
    assert (tmp_path / "report.html").is_file() and not (tmp_path / "rollouts.html").exists()


def test_a_page_that_cannot_be_written_names_the_way_out(run):
    with pytest.raises(MedrlError, match="Name another file with --out"):
        write_rollouts_page(run, run / "no such folder" / "page.html")


# --- what a run keeps -------------------------------------------------------------------------------------------------


def test_a_run_keeps_what_each_turn_showed_and_forgets_it_when_rewound(played, tmp_path):
    run_dir = shutil.copytree(played, tmp_path / "zoom")
    rows = [json.loads(line) for line in (run_dir / "rollouts/step_000001.jsonl").read_text().splitlines()]
    album = read_album(run_dir / "rollouts/step_000001.zip")
    for row in rows:
        assert len(row.get("shown", [])) == sum(turn["images"] for turn in row["turns"])
        assert all(one["name"] in album for one in row.get("shown", []))
        assert own_name(row["images"][0]) in album
        assert row["tokens"] == sum(sum(turn["tokens"]) for turn in row["turns"])
    Run(run_dir).rewind()
    assert not list((run_dir / "rollouts").iterdir())


# --- size -------------------------------------------------------------------------------------------------------------


def test_larger_pictures_give_way_until_all_fit():
    rng = random.Random(0)
    pictures = {}
    for side_px in (20, 20, 200, 220, 240):
        buffer = io.BytesIO()
        Image.frombytes("RGB", (side_px, side_px), rng.randbytes(3 * side_px**2)).save(buffer, "JPEG", quality=90)
        pictures[name_of(buffer.getvalue())] = buffer.getvalue()
    assert sum(map(len, pictures.values())) > 100_000
    fitted = {
        name: base64.b64decode(uri.partition(",")[2]) for name, uri in rollouts_page._fitted(pictures, 30_000).items()
    }
    assert sum(map(len, fitted.values())) <= 30_000
    assert [fitted[name] == data for name, data in pictures.items()] == [True, True, False, False, False]
    enough = rollouts_page._fitted(pictures, 1e9)
    assert [base64.b64decode(uri.partition(",")[2]) for uri in enough.values()] == list(pictures.values())


def test_texts_are_cut_so_that_even_markup_fits(run):
    change_rows(run / "rollouts/step_000001.jsonl", turns=None, reply="<think>" * 8_000, images=[])
    found = html(run)
    assert len(found.encode()) < rollouts_page.TEXT_BYTES + 400_000
    assert "characters left out" in found


@pytest.mark.cluster
def test_64_rollouts_with_three_noisy_pictures_each_stay_below_5_mb(run):
    rng = random.Random(1)
    path = run / "rollouts/step_000001.jsonl"
    first = json.loads(path.read_text().splitlines()[4])
    album, rows = {}, []

    def noisy(side_px):
        buffer = io.BytesIO()
        Image.frombytes("RGB", (side_px, side_px), rng.randbytes(3 * side_px**2)).save(buffer, "JPEG", quality=60)
        name = name_of(buffer.getvalue())
        album[name] = buffer.getvalue()
        return name

    for number in range(64):
        shown = [{"name": noisy(320), "size_px": [320, 320]} for _ in range(3)]
        own = f"images/{number // 8:016x}.png"
        album.setdefault(own_name(own), album.pop(noisy(640)))
        turns = [{**turn, "text": '"' * 20_000} for turn in first["turns"]]  # each escaped to five characters
        place = {"sample_id": f"s{number // 8}", "attempt": number % 8}
        rows.append({**first, **place, "shown": shown, "images": [own], "turns": turns})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_album(run / "rollouts/step_000001.zip", album)
    assert sum(map(len, album.values())) > 10_000_000
    written = write_rollouts_page(run)
    assert written.shown == 64 and written.bytes < 5_000_000
    assert written.path.read_text().count("<img") == 64 * 3 + 8


# --- nothing is trusted -----------------------------------------------------------------------------------------------


def hostile(run_dir):
    """Every text a model, a data set or an environment can bring, replaced by markup that would run."""
    path = run_dir / "rollouts/step_000001.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    names = (
        "sample_id",
        "data_source",
        "kind",
        "question",
        "ground_truth",
        "truth_in_model_frame",
        "prompt",
        "end_reason",
    )
    for row in rows:
        row |= {
            **dict.fromkeys(names, HOSTILE),
            "options": {HOSTILE: HOSTILE},
            "missing": {HOSTILE: HOSTILE},
            "frame": HOSTILE,
        }
        row["scores"] |= {HOSTILE: 1.0, f"{HOSTILE}/score": 1.0}
        for turn in row["turns"]:
            turn |= {
                "text": turn["text"] + HOSTILE,
                "observation": HOSTILE,
                "fault": HOSTILE if turn["fault"] else None,
            }
            if turn["asked"]:
                turn["asked"] = {"name": HOSTILE, "arguments": {HOSTILE: HOSTILE}}
            if turn["confirmed"]:
                turn["confirmed"][HOSTILE] = HOSTILE
        for one in row.get("shown", []):
            one["name"] += HOSTILE
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return run_dir


def test_hostile_text_stays_text(run):
    found = html(hostile(run))
    page = Page(found)
    assert found.count("<script") == found.count("</script>") == 1
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        assert tag != "img" or attributes["src"].startswith("data:image/jpeg;base64,")
    assert page.text.count('<img src=x onerror="window.hacked=1">') > 50  # shown, as text
    assert "\u202e" not in found and "⟨U+202E⟩" in found


def test_only_our_own_script_may_run_and_nothing_may_load(run):
    found = html(run)
    script = found.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    tags = Page(found).tags
    policy = next(a["content"] for tag, a in tags if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy")
    assert f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy
    for tag, attributes in tags:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#")), (tag, attributes)
    assert not re.findall(r"url\(|@import", found)


@pytest.mark.parametrize("value", [None, 7, "x", [1], {"a": [None]}, 10**400, float("nan"), "\ud800 \x1b[31m"])
def test_rows_of_the_wrong_shape_do_not_stop_the_page(run, value):
    path = run / "rollouts/step_000001.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    # one row for every field that may be wrong: all of them on one page
    bad = [{**rows[0], "attempt": place, name: value} for place, name in enumerate(rows[0])]
    path.write_text("".join(json.dumps(row) + "\n" for row in bad))
    write_rollouts_page(run)


def test_names_that_lead_out_of_the_run_give_no_picture(run, tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "secret.png")
    change_rows(run / "rollouts/step_000001.jsonl", images=["../secret.png"], shown=[{"name": "../secret.png"}])
    assert "<img" not in html(run)
