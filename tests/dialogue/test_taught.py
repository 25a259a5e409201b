"""A model says what prompt it was taught with, and another prompt is refused before anything is loaded."""

import json

import pytest

from medrl.dialogue.prompts import load_style
from medrl.dialogue.taught import FILE, check_taught, taught_with
from medrl.errors import MedrlError

TOOLS = [{"type": "function", "function": {"name": "zoom", "parameters": {"required": ["bbox_2d"]}}}]


def now(style="think", tools=TOOLS, action_format="hermes"):
    return taught_with(load_style(style), tools, action_format)


@pytest.mark.parametrize(
    "changed, told",
    [
        (now(style="no_think"), r"prompt_template_sha256: found \w{12} \(think\), expected \w{12} \(no_think\)"),
        (now(tools=[]), r"tools_sha256: found \w{12} \(zoom\), expected none"),
        (now(tools=[{**TOOLS[0], "strict": True}]), "tools_sha256"),
        (now(action_format="grounding"), "action_format: found hermes, expected grounding"),
    ],
)
def test_another_prompt_is_refused_with_both_values_and_the_way_out(tmp_path, changed, told):
    (tmp_path / FILE).write_text(json.dumps(now()))
    check_taught(str(tmp_path), now())
    with pytest.raises(MedrlError, match=told) as refused:
        check_taught(str(tmp_path), changed)
    assert f"remove {tmp_path / FILE}" in str(refused.value)


def test_models_that_say_nothing_are_taken(tmp_path):
    check_taught(str(tmp_path), now())
    check_taught("Qwen/Qwen2.5-VL-7B-Instruct", now())


def test_a_damaged_note_is_an_error(tmp_path):
    (tmp_path / FILE).write_text("{}")
    with pytest.raises(MedrlError, match="not readable"):
        check_taught(str(tmp_path), now())
