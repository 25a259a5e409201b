"""The report page: what it says, that nothing on it is trusted, and that no state of a run directory stops it."""

import base64
import hashlib
import json
import random
import re

import pytest
from PIL import Image
from report_runs import AFTER, BEFORE, Page, change_rows, make_hostile_run, make_run, read_page, write_json, write_lines

from medrl.errors import MedrlError
from medrl.record.headline import Change, duration_text, headline, paired_change
from medrl.record.report import write_report

# --- what the page says -----------------------------------------------------------------------------------------------


def test_finished_run_is_told_from_top_to_bottom(tmp_path):
    page = read_page(make_run(tmp_path / "phantom_count"))
    sentence = "Held-out reward rose from 0.42 [0.39, 0.45] to 0.78 [0.75, 0.81] on 512 questions in 40 steps, 3.1 min."
    expected = [
        "phantom_count", "completed", sentence, "Held-out reward", "best constant answer", "Training reward and its components",
        "Where the time of a step goes", "Same held-out questions, before and after", "wrong → right", "Truth",
        "Training groups from the last recorded step (step 40)", "Recipe", "{use: rewards/count.py}", "Reproducibility",
        "packages.torch", "2.11.0",
    ]  # fmt: skip
    place = 0
    for part in expected:
        assert (place := page.text.find(part, place)) >= 0, part
    assert page.count("article", "item") == 24
    assert page.count("article", "group") == 8
    assert page.count("li", "item") == 64


def test_what_acting_was_worth_is_told_beside_the_headline_and_drawn(tmp_path):
    run = make_run(tmp_path / "acting")
    assert "attempts that act" not in read_page(run).text, "there is no environment"
    measured = [
        {"tool/confirmed": 0.4, "tool/gain_over_turn_one": -0.02},
        {"tool/confirmed": 0.954, "tool/gain_over_turn_one": 0.31},
    ]
    summary = json.loads((run / "summary.json").read_text())
    for key, metrics in zip(("val_first", "val_last"), measured):
        summary[key]["metrics"] |= metrics
    (run / "summary.json").write_text(json.dumps(summary))
    with (run / "metrics.jsonl").open("a") as journal:
        for step, metrics in zip((0, 40), measured):
            record = {f"val/{name}": value for name, value in metrics.items()}
            journal.write(json.dumps({"stage": "grpo", "step": step, **record}) + "\n")
    text = read_page(run).text
    assert "attempts that act40 % → 95 %" in text and "gain over the first reply−0.02 → +0.31" in text
    assert "Held-out attempts with a confirmed action" in text and "Held-out gain over the first reply" in text


OVERLAPPING = {**AFTER, "low": 0.44}


@pytest.mark.parametrize(
    ("first", "last", "change", "expected"),
    [
        (
            BEFORE,
            AFTER,
            None,
            "rose from 0.42 [0.39, 0.45] to 0.78 [0.75, 0.81] on 512 questions in 1,200 steps, 12 s.",
        ),
        (AFTER, BEFORE, None, "fell from 0.78"),
        (BEFORE, OVERLAPPING, None, "moved from 0.42 [0.39, 0.45] to 0.78 [0.44, 0.81]"),
        (BEFORE, OVERLAPPING, None, "12 s; nothing recorded tells whether this is more than chance."),
        (BEFORE, OVERLAPPING, Change(0.06, 0.03, 0.09), "rose from"),
        (
            BEFORE,
            OVERLAPPING,
            Change(0.06, 0.03, 0.09),
            "12 s; question by question the change is +0.06 [+0.03, +0.09].",
        ),
        (BEFORE, OVERLAPPING, Change(-0.06, -0.09, -0.03), "fell from"),
        (BEFORE, OVERLAPPING, Change(0.01, -0.02, 0.04), "moved from"),
        (BEFORE, OVERLAPPING, Change(0.01, -0.02, 0.04), "the change is +0.01 [−0.02, +0.04], so it may be chance."),
        (
            {"reward": 0.4},
            {"reward": 0.8},
            None,
            "moved from 0.40 to 0.80 in 1,200 steps, 12 s; nothing recorded tells",
        ),
        (BEFORE, None, None, "Held-out reward is 0.42 [0.39, 0.45] on 512 questions, measured once; 1,200 steps"),
        (None, None, None, "No held-out measurement was recorded in 1,200 steps"),
        ({"reward": float("nan")}, None, None, "No held-out measurement was recorded"),
    ],
)
def test_headline_claims_no_more_than_the_intervals_allow(first, last, change, expected):
    summary = {"val_first": first, "val_last": last, "steps": 1200, "seconds": 12}
    assert expected in headline(summary, change).sentence


def test_change_is_paired_by_question_and_a_missing_reward_counts_zero_as_in_the_mean():
    before = [{"sample_id": str(n), "attempt": a, "reward": n / 10} for n in range(8) for a in range(2)]
    after = [{**row, "reward": row["reward"] + 0.1} for row in reversed(before)]
    assert paired_change(before, after) == Change(
        *[pytest.approx(0.1)] * 3
    )  # means differ by far less than they spread
    after[0]["reward"] = None  # question 7, at 0.7: its mean falls from 0.7 to 0.4
    assert paired_change(before, after).mean == pytest.approx((7 * 0.1 - 0.3) / 8)
    assert paired_change(before, after[:2]) is None


def test_headline_of_one_step_is_singular_and_durations_have_their_unit():
    assert "in 1 step." in headline({"steps": 1}).sentence
    assert [duration_text(seconds) for seconds in (0.4, 89, 90, 5400)] == ["0 s", "89 s", "1.5 min", "1.5 h"]


def test_failed_run_shows_its_reason(tmp_path):
    run = make_run(tmp_path / "run")
    summary = json.loads((run / "summary.json").read_text())
    write_json(
        run / "summary.json", {**summary, "status": "failed", "reason": "RewardTimeout: <b>count.py</b> took 5 s"}
    )
    page = read_page(run)
    assert page.count("span", "failed") == 1
    assert "RewardTimeout: <b>count.py</b> took 5 s" in page.text


@pytest.mark.cluster  # ten seconds
def test_page_of_64_rollouts_with_noisy_large_pictures_stays_below_5_mb(tmp_path):
    run = make_run(tmp_path / "run", steps=10_000)
    rng = random.Random(1)
    for path in (run / "images").iterdir():
        Image.frombytes("RGB", (320, 320), rng.randbytes(320 * 320 * 3)).save(path)
    for file in ("eval/step_000000.json", "eval/step_010000.json", "rollouts/step_010000.jsonl"):
        change_rows(run / file, reply='"' * 20_000, prompt="<" * 20_000)  # each escaped to five characters
    path = write_report(run)
    assert path.stat().st_size < 5_000_000
    uris = re.findall(r'src="data:image/(?:png|jpeg);base64,', path.read_text())
    assert len(uris) == 32
    assert "left out" in path.read_text()


def with_alarms(run, *told):
    """Add entries with alarms to a run's journal: (step, names raised, names cleared)."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for step, raised, cleared in told:
        entry = next(line for line in lines if line["stage"] == "grpo" and line["step"] == step)
        entry["alarms"] = [{"name": name, "value": 1.0, "limit": 0.9, "text": f"why {name}; try."} for name in raised]
        entry["alarms_cleared"] = list(cleared)
    write_lines(run / "metrics.jsonl", lines)
    return run


def test_alarms_are_told_below_the_title_and_shaded_on_their_curves(tmp_path):
    run = make_run(tmp_path / "run", questions=3)
    page = read_page(run)
    assert page.count("section", "alarms") == page.count("rect", "marked") == 0
    page = read_page(with_alarms(run, (12, ["zero_spread"], []), (20, ["truncated"], []), (21, [], ["zero_spread"])))
    assert page.count("section", "alarms") == 1 and page.count("li", "past") == 1
    told = ["2 alarms", "zero_spread", "steps 12 to 20, then cleared", "why zero_spread; try.", "truncated"]
    place = page.text.find("completed")
    for part in [
        *told,
        "steps 20 to 40, still up",
        "why truncated; try.",
        "Held-out reward rose",
        "Shaded: alarm truncated.",
    ]:
        assert (place := page.text.find(part, place)) >= 0, part
    assert "Shaded: alarm zero_spread." in page.text and page.count("rect", "marked") == 2
    assert "all cleared" in read_page(with_alarms(run, (30, [], ["truncated"]))).text


def test_many_alarms_leave_room_for_the_rest(tmp_path):
    told = [(step, ["missing"] if step % 2 else [], [] if step % 2 else ["missing"]) for step in range(1, 41)]
    run = with_alarms(make_run(tmp_path / "run", steps=60, questions=3), *told)
    assert "20 alarms" in read_page(run).text and "more, in metrics.jsonl" not in read_page(run).text
    page = read_page(with_alarms(run, (41, ["missing"], [])))
    text = page.text
    assert page.count("span", "when") == 20
    assert "21 alarms" in text and "and 1 more, in metrics.jsonl" in text


# --- nothing is trusted -----------------------------------------------------------------------------------------------


def test_hostile_text_stays_text(tmp_path):
    html = write_report(make_hostile_run(tmp_path / "run")).read_text(encoding="utf-8")
    page = Page(html)
    assert html.count("<script") == html.count("</script") == 1
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        assert tag != "img" or attributes["src"].startswith("data:image/")
    assert page.text.count('<img src=x onerror="window.hacked=1">') > 20  # shown, as text
    assert "\x00" not in html


def test_only_our_own_script_may_run_and_nothing_may_load(tmp_path):
    html = write_report(make_run(tmp_path / "run", questions=3)).read_text(encoding="utf-8")
    script = html.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(
        a["content"] for tag, a in Page(html).tags if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    for tag, attributes in Page(html).tags:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#")), (tag, attributes)
    assert not re.findall(r"url\(|@import", html)


def test_lone_surrogate_and_control_characters_do_not_stop_the_page(tmp_path):
    run = make_run(tmp_path / "run", questions=3)
    change_rows(run / "eval/step_000040.json", reply="\ud800 and \x1b[31m", sample_id="\udfff")
    change_rows(run / "rollouts/step_000040.jsonl", reply="\ud800 and \x1b[31m", sample_id="\udfff")
    text = write_report(run).read_text(encoding="utf-8")
    assert "\\ud800 and ␛[31m" in text


# --- whatever state the run is in -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "absent",
    [
        ["summary.json"], ["metrics.jsonl"], ["recipe.yaml"], ["card.json"], ["eval/step_000000.json", "eval/step_000040.json"],
        ["eval/step_000040.json", "summary.json"], ["rollouts/step_000040.jsonl"],
        ["summary.json", "metrics.jsonl", "recipe.yaml", "card.json", "eval/step_000000.json", "eval/step_000040.json",
         "rollouts/step_000040.jsonl"],
    ],
)  # fmt: skip
@pytest.mark.parametrize("damage", ["removed", "empty", "cut", "other"])
def test_page_is_written_whatever_is_absent_or_damaged(tmp_path, absent, damage):
    run = make_run(tmp_path / "run", questions=6, prompts=2)
    for name in absent:
        path = run / name
        if damage == "removed":
            path.unlink()
        else:
            path.write_text({"empty": "", "cut": path.read_text()[:-40], "other": '[1, null, "x"]\n'}[damage])
    page = read_page(run)
    assert "Reproducibility" in page.text
    if damage in ("cut", "other") and absent == ["metrics.jsonl"]:
        assert "metrics.jsonl: 1 line could not be read" in page.text
    if damage == "cut" and absent == ["summary.json"]:
        assert "summary.json could not be read" in page.text


def test_unfinished_run_is_told_from_its_evaluations(tmp_path):
    run = make_run(tmp_path / "run")
    (run / "summary.json").unlink()
    page = read_page(run)
    assert page.count("span", "unfinished") == 1
    assert "the run is still going, or it was cut off" in page.text
    assert "Held-out reward rose from 0.42 [0.39, 0.45] to 0.78 [0.75, 0.81] on 512 questions in 40 steps." in page.text


def test_run_that_failed_before_its_first_step_has_a_page(tmp_path):
    summary = {
        "status": "failed",
        "reason": "no GPU",
        "engine": "local",
        "steps": 0,
        "seconds": 1.0,
        "peak_rss_mb": 300,
    }
    write_json(tmp_path / "summary.json", {**summary, "val_first": None, "val_last": None})
    page = read_page(tmp_path)
    assert "No held-out measurement was recorded in 0 steps, 1 s." in page.text
    assert "No step of training has been recorded." in page.text
    assert "No rollout has been recorded yet." in page.text


def test_one_evaluation_is_not_compared_with_itself(tmp_path):
    """A run stopped before its second validation names step 0 as first and last."""
    run = make_run(tmp_path / "run")
    (run / "eval/step_000040.json").unlink()
    summary = json.loads((run / "summary.json").read_text())
    write_json(run / "summary.json", {**summary, "status": "stopped", "steps": 3, "val_last": BEFORE})
    page = read_page(run)
    assert "Held-out reward is 0.42 [0.39, 0.45] on 512 questions, measured once; 3 steps, 3.1 min." in page.text
    assert "Held-out questions" in page.text
    assert "wrong → right 1" not in page.text


@pytest.mark.parametrize("value", [None, 7, "x", [1], {"a": [None]}, 10**400, float("nan")])
def test_rows_of_the_wrong_shape_do_not_stop_the_page(tmp_path, value):
    run = make_run(tmp_path / "run", questions=3, prompts=1)
    evaluation, rollouts = run / "eval/step_000040.json", run / "rollouts/step_000040.jsonl"
    whole = evaluation.read_text(), rollouts.read_text()
    for name in json.loads(whole[1].splitlines()[0]):
        evaluation.write_text(whole[0])
        rollouts.write_text(whole[1])
        change_rows(evaluation, **{name: value})
        change_rows(rollouts, **{name: value})
        write_report(run)


def test_no_run_directory_is_an_error_that_names_the_remedy(tmp_path):
    with pytest.raises(MedrlError, match=r"no such directory. Pass the one that `medrl train` made"):
        write_report(tmp_path / "absent")


def test_report_replaces_the_earlier_one_and_leaves_nothing_beside_it(tmp_path):
    run = make_run(tmp_path / "run", questions=3)
    before = {path.name for path in run.iterdir()}
    assert write_report(run) == run / "report.html"
    write_report(run)
    assert {path.name for path in run.iterdir()} == before | {"report.html"}


# --- in a browser -----------------------------------------------------------------------------------------------------


@pytest.mark.cluster
def test_page_works_in_chromium_and_a_hostile_reply_does_not_run(tmp_path):
    from playwright.sync_api import sync_playwright

    quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]  # fmt: skip
    alarmed = with_alarms(make_run(tmp_path / "good"), (12, ["zero_spread"], []), (20, [], ["zero_spread"]))
    good, hostile = write_report(alarmed), write_report(make_hostile_run(tmp_path / "hostile"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=quiet)
        page = browser.new_page(viewport={"width": 400, "height": 800})
        complaints: list[str] = []
        requests: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))

        page.goto(hostile.as_uri())
        assert page.evaluate("window.hacked") is None
        assert page.evaluate("document.scripts.length") == 1

        page.goto(good.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 400  # nothing hangs over a narrow screen
        cards, attempts = page.locator("article.item:visible"), page.locator("li.item:visible")
        assert (cards.count(), attempts.count()) == (24, 64)
        page.select_option("#f-kind", "box")
        shown = cards.count()
        assert 0 < shown < 24
        assert cards.evaluate_all("all => all.every((card) => card.dataset.kind === 'box')")
        page.select_option("#f-verdict", "wrong")
        assert cards.count() < shown
        assert attempts.evaluate_all("all => all.every((one) => one.dataset.verdict === 'wrong')")
        assert page.locator("#f-count").inner_text() == f"{cards.count() + attempts.count()} of 88 shown"
        page.fill("#f-words", "no such words")
        assert cards.count() == attempts.count() == page.locator("article.group:visible").count() == 0
        page.fill("#f-words", "")
        page.select_option("#f-verdict", "")
        page.select_option("#f-kind", "")
        assert (cards.count(), attempts.count()) == (24, 64)

        shade = page.locator("rect.marked")
        where, curve = shade.bounding_box(), shade.locator("xpath=..").bounding_box()
        assert 0.15 < where["width"] / curve["width"] < 0.25  # 8 of 40 steps
        assert page.locator(".alarms").is_visible()

        chart = page.locator("svg.chart:visible").first
        chart.scroll_into_view_if_needed()
        chart.hover()
        assert "step 20" in page.locator("#tip").inner_text()
        browser.close()
    assert not complaints
    assert {url.partition(":")[0] for url in requests} <= {"file", "data"}
    assert {url for url in requests if url.startswith("file:")} == {good.as_uri(), hostile.as_uri()}
