"""The gallery: a fixed choice of cards, missing scores, boxes in every frame, pictures that stay inside the run."""

import base64
import io
import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from report_runs import change_rows, make_run, read_page, write_lines

from medrl.dialogue.answers import answer_regions
from medrl.record import gallery
from medrl.record.pictures import pictures
from medrl.record.replies import reply_parts, shorten


def test_shares_of_outcomes_are_those_of_all_attempts_not_of_the_cards(tmp_path):
    run = make_run(tmp_path / "run")
    first, last = (json.loads((run / f"eval/step_{step:06d}.json").read_text())["rows"] for step in (0, 40))
    found = gallery.held_out(run, first, last)
    right = [[row["scores"]["answer/score"] >= 0.5 for row in rows] for rows in (first, last)]
    improved = sum(not before and after for before, after in zip(*right))
    assert found is not None
    assert found.counts["improved"] == improved
    assert found.total == len(first) == sum(found.counts.values())
    assert len({card.sample_id for card in found.cards}) == len(found.cards) == 24
    assert f"wrong → right {improved} {round(100 * improved / len(first))} %" in read_page(run).text


def test_choice_of_cards_is_fixed_and_mixes_outcomes_and_kinds(tmp_path):
    run = make_run(tmp_path / "run", questions=60)
    first, last = (json.loads((run / f"eval/step_{step:06d}.json").read_text())["rows"] for step in (0, 40))
    cards = gallery.held_out(run, first, last).cards
    assert cards == gallery.held_out(run, first[::-1], last[::-1]).cards  # nor does the order of the file matter
    assert {card.outcome for card in cards} == {"improved", "worsened", "still wrong", "still right"}
    assert {card.kind for card in cards} == {"box", "choice", "count"}


def test_missing_score_is_missing_with_its_reason_and_never_zero(tmp_path):
    run = make_run(tmp_path / "run")
    absent = {"reward": None, "scores": {}, "missing": {"answer": "timeout after 5 s"}, "advantage": None}
    change_rows(run / "rollouts/step_000040.jsonl", **absent)
    change_rows(run / "eval/step_000040.json", **absent)
    page = read_page(run)
    assert page.text.count("answer missing: timeout after 5 s") == 64 + 24
    assert "reward 0" not in page.text.replace("reward 0.1", "")
    assert page.count("span", "bad") + page.count("span", "good") == 24  # of the replies before, which were graded
    assert "0 attempts were graded both" in page.text
    assert "not graded 80" in page.text
    assert page.text.count("no advantage") == 64


def test_reward_decides_when_no_reward_is_called_answer(tmp_path):
    run = make_run(tmp_path / "run")
    for file in ("eval/step_000000.json", "eval/step_000040.json", "rollouts/step_000040.jsonl"):
        change_rows(run / file, scores={"iou/score": 0.7})
    assert "right means reward of at least 0.5" in read_page(run).text


def test_group_without_spread_says_so_and_comes_last(tmp_path):
    run = make_run(tmp_path / "run")
    path = run / "rollouts/step_000040.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    flat = rows[0]["sample_id"]
    write_lines(path, [{**row, "reward": 1.1} if row["sample_id"] == flat else row for row in rows])
    cards, count, without_spread = gallery.groups(run, [json.loads(line) for line in path.read_text().splitlines()])
    assert (count, without_spread >= 1) == (8, True)
    assert flat in [card.sample_id for card in cards[-without_spread:]]
    assert cards[-1].note == "No spread: this group gave no gradient."


def test_large_groups_are_cut_to_64_attempts_and_say_so(tmp_path):
    row = {"sample_id": "a", "kind": "count", "reward": 1.0, "scores": {}, "reply": "x"}
    cards, _, _ = gallery.groups(tmp_path, [{**row, "attempt": attempt} for attempt in range(100)])
    assert [len(card.replies) for card in cards] == [64]
    assert cards[0].note.startswith("64 of 100 attempts shown.")


# --- pictures and boxes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "box"),
    [("px_model", [28, 14, 56, 42]), ("norm1000", [250, 250, 500, 750]), ("px_original", [50, 25, 100, 75])],
)
def test_boxes_are_drawn_in_the_picture_whatever_frame_the_model_uses(tmp_path, frame, box):
    run = make_run(tmp_path / "run", questions=3)
    Image.new("RGB", (200, 100)).save(run / "images/wide.png")
    values = {
        "kind": "box", "images": ["images/wide.png"], "image_sizes_px": [[200, 100]], "model_sizes_px": [[112, 56]],
        "frame": frame, "ground_truth": "[50, 25, 100, 75]", "truth_in_model_frame": json.dumps(box),
        "reply": f"<answer>{json.dumps(box)}</answer>",
    }  # fmt: skip
    change_rows(run / "eval/step_000040.json", **values)
    (run / "rollouts/step_000040.jsonl").unlink()
    page = read_page(run)
    place = {"x": "25.0%", "y": "25.0%", "width": "25.0%", "height": "50.0%"}
    for role in ("role-truth", "role-after"):
        drawn = [attributes for tag, attributes in page.tags if tag == "rect" and attributes["class"] == role]
        assert drawn
        assert all(attributes == {"class": role, **place} for attributes in drawn)


@pytest.mark.parametrize(
    "name", ["../outside.png", "/etc/passwd", "images/absent.png", "images/\x00", "x" * 5000, "link.png"]
)
def test_picture_outside_the_run_is_never_embedded(tmp_path, name):
    Image.new("RGB", (8, 8), "red").save(tmp_path / "outside.png")
    run = make_run(tmp_path / "run", questions=3)
    (run / "link.png").symlink_to(tmp_path / "outside.png")
    for file in ("eval/step_000000.json", "eval/step_000040.json", "rollouts/step_000040.jsonl"):
        change_rows(run / file, images=[name])
    page = read_page(run)
    assert "img" not in [tag for tag, _ in page.tags]
    assert "no picture kept" in page.text


def test_questions_whose_picture_was_not_kept_are_passed_over(tmp_path):
    run = make_run(tmp_path / "run")
    kept = json.loads((run / "eval/step_000040.json").read_text())["rows"][0]
    for path in (run / "images").iterdir():
        if path.name != Path(kept["images"][0]).name:
            path.unlink()
    page = read_page(run)
    assert page.count("article", "item") == 1
    assert page.count("article", "group") == 8  # the groups are shown all the same


def test_embedded_pictures_are_small_and_tiny_ones_keep_their_pixels(tmp_path):
    Image.new("RGB", (1200, 300)).save(tmp_path / "wide.png")
    Image.new("RGB", (30, 60)).save(tmp_path / "tiny.png")
    wide, tiny = pictures(tmp_path, {"images": ["wide.png", "tiny.png"]}, [])
    assert (wide.width, wide.height, wide.enlarged) == (240, 60, False)
    assert (tiny.width, tiny.height, tiny.enlarged) == (120, 240, True)
    assert Image.open(io.BytesIO(_decoded(wide.uri))).size == (320, 80)
    assert Image.open(io.BytesIO(_decoded(tiny.uri))).size == (30, 60)


def _decoded(uri: str) -> bytes:
    return base64.b64decode(uri.partition(",")[2])


# --- reading a reply --------------------------------------------------------------------------------------------------


def kinds_of(reply):
    found: dict[str, str] = {}
    for kind, text in reply_parts(reply):
        found[kind] = found.get(kind, "") + text
    found.pop("tag", None)
    return found


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("<think>a</think><answer>B</answer>", {"think": "a", "answer": "B"}),
        ("a</think><answer>B</answer>", {"think": "a", "answer": "B"}),  # the prompt opened the reasoning
        ("<think>not <answer>A</answer></think><answer>B</answer>", {"think": "not <answer>A</answer>", "answer": "B"}),
        ("<think>cut off", {"think": "cut off"}),
        ("<think>never closed <answer>B</answer>", {"think": "never closed <answer>B</answer>"}),
        ("<ANSWER> B < /answer > so", {"answer": " B ", "plain": " so"}),
        ("<answer>B", {"answer": "B"}),
        ("B</answer>", {"answer": "B"}),
        ("just B", {"plain": "just B"}),
        ('<tool_call>{"box": 1}</tool_call>', {"call": '{"box": 1}'}),
        ("", {}),
    ],
)
def test_reasoning_and_answer_are_told_apart(reply, expected):
    assert kinds_of(reply) == expected


@given(
    st.lists(st.sampled_from(["<think>", "</think>", "<answer>", "</answer>", "a", "b ", " "]), max_size=12).map(
        "".join
    )
)
def test_what_is_marked_as_answer_is_what_the_grader_reads(reply):
    assert "".join(text for _, text in reply_parts(reply)) == reply  # no character is lost
    read = answer_regions(reply)
    if kinds_of(reply).get("answer", "").strip():
        assert "".join(kinds_of(reply)["answer"].split()) == "".join("".join(read or ()).split())
    elif read:
        assert kinds_of(reply).get("plain", "").strip()  # an answer without tags stays plain


def test_long_reply_keeps_its_end_and_what_stands_there_is_still_the_answer():
    rows = [{"sample_id": "a", "reply": f"<think>{'x' * 9000}</think><answer>B</answer>", "reward": 1.0}]
    ((card,), _, _) = gallery.groups(Path("unused"), rows)
    assert [part for part in card.replies[0].parts if part[0] in ("answer", "left-out")] == [
        ("left-out", " … 6,033 characters left out … "),
        ("answer", "B"),
    ]
    assert sum(len(text) for kind, text in card.replies[0].parts if kind != "left-out") == 3000
    assert card.replies[0].gist == "B"


def test_short_text_is_left_alone_and_long_text_keeps_both_ends():
    assert shorten("short", 4000) == "short"
    assert shorten("a" * 50 + "B", 6) == "aaaa … 45 characters left out … aB"


def test_reply_of_tags_alone_is_read_in_one_pass():
    """Each stray close used to sweep all that stood before it: 100 kB of them took minutes."""
    started = time.monotonic()
    for unit in ("</think>", "<think></think>", "<answer>", "</answer>", "<answer></answer>a"):
        reply = unit * (100_000 // len(unit))
        assert sum(len(text) for _, text in reply_parts(reply)) == len(reply)
    assert time.monotonic() - started < 5
