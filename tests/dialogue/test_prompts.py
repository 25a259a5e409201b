"""Prompt styles: the two that are shipped, the user's own, and what a broken one says."""

import json
from dataclasses import replace

import pytest
from makers import samples

from medrl.dialogue.prompts import load_style
from medrl.errors import MedrlError


def test_styles_ask_for_what_their_name_says():
    sample = samples(1, task="side")[0]
    think, no_think = (load_style(name).messages(sample)[-1]["content"] for name in ("think", "no_think"))
    assert (
        think.startswith("<image>In which half") and "<think> </think>" in think and "letter inside <answer>" in think
    )
    assert "<think>" not in no_think and "<answer> </answer>" in no_think
    assert load_style("think").thinks and not load_style("no_think").thinks


def test_a_users_template_sees_the_sample(tmp_path):
    path = tmp_path / "mine.jinja"
    path.write_text("{{ question }} [{{ kind }}, {{ extra_info.modality }}]")
    style = load_style(str(path))
    sample = samples(1)[0]
    assert style.messages(sample)[-1]["content"].endswith(f"[count, {sample.extra_info['modality']}]")
    assert load_style("mine.jinja", beside=tmp_path).sha256 == style.sha256


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("{{ question", "line 1"),
        ("no placeholder at all", "changed the number of <image>"),
        ("{{ question }}{{ question }}", "exactly once"),
    ],
)
def test_a_broken_template_is_named(tmp_path, source, told):
    path = tmp_path / "bad.jinja"
    path.write_text(source)
    with pytest.raises(MedrlError, match=told):
        load_style(str(path)).messages(samples(1)[0])


def test_a_template_may_bring_a_system_turn(tmp_path):
    path = tmp_path / "mine.jinja"
    path.write_text("{% set system %} You read {{ extra_info.modality }}. {% endset %}{{ question }} Be brief.")
    sample = replace(samples(1)[0], extra_info={"modality": "CT"})
    with_own = replace(sample, messages=({"role": "system", "content": "The set's own."}, *sample.messages))
    for one in (sample, with_own):
        system, user = load_style(str(path)).messages(one)
        assert system == {"role": "system", "content": "You read CT."} and user["content"].endswith("Be brief.")
    assert [turn["role"] for turn in load_style("think").messages(with_own)] == ["system", "user"], "else it stays"
    path.write_text("{% set system %}<image>{% endset %}{{ question }}")
    with pytest.raises(MedrlError, match="its system turn holds <image>"):
        load_style(str(path)).messages(sample)


@pytest.mark.parametrize(
    ("kind", "asked", "not_asked"),
    [
        ("choice", "its capital letter", "B,E,F"),
        ("multi_choice", "commas between and no spaces, such as B,E,F", "One option"),
        ("yes_no", "yes or no", "letter"),
        ("open_short", "only the name of the disease or entity", "letter"),
    ],
)
def test_ophtha_reason_asks_each_kind_for_its_own_form(kind, asked, not_asked):
    sample = samples(1)[0]
    style = load_style("ophtha_reason")
    system, user = style.messages(replace(sample, extra_info={**sample.extra_info, "kind": kind}))
    assert system["role"] == "system" and "ophthalmologist" in system["content"] and style.thinks
    assert "<think>your reasoning</think><answer>your answer</answer>" in system["content"]
    question, _, instruction = user["content"].partition("\n")
    assert question == sample.messages[0]["content"] and asked in instruction and not_asked not in instruction


def test_an_unknown_style_lists_the_known():
    with pytest.raises(
        MedrlError,
        match="expected one of grounding, no_think, ophtha_reason, think, think_act_rethink, think_confidence, tools",
    ):
        load_style("thinking")


@pytest.mark.parametrize("style", ["tools", "think_act_rethink"])
def test_tools_are_shown_as_plain_json(style):
    tool = {"type": "function", "function": {"name": "zoom", "description": "Size < 1 mm, the lesion's edge: größer"}}
    shown = load_style(style, tools=[tool]).messages(samples(1)[0])[-1]["content"]
    lines = [line for line in shown.splitlines() if line.startswith('{"type"')]
    assert [json.loads(line) for line in lines] == [tool]
    assert "Size < 1 mm, the lesion's edge: größer" in shown, "not as escapes, which a model would copy"


def test_a_template_cannot_reach_python(tmp_path):
    path = tmp_path / "evil.jinja"
    path.write_text("{{ question.__class__.__mro__ }}")
    with pytest.raises(MedrlError, match=r"evil\.jinja.*unsafe"):
        load_style(str(path)).messages(samples(1)[0])
