"""Published trajectory formats, read as the question, the replies and what was shown between them; the rest refused."""

import json

import pytest
from PIL import Image

from medrl.data.adapters import trajectories
from medrl.data.sample import Refused, read_parquet, write_parquet
from medrl.data.source import load

CALL = '<tool_call>{"name": "image_zoom_in_tool", "arguments": {"bbox_2d": [10, 20, 60, 70], "label": "lesion"}}</tool_call>'
DEEPEYES = {  # visual_toolbox_v2.py: the crop comes back in a user turn, wrapped, with a reminder
    "messages": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "<image>\nIs the lesion calcified?"},
        {"role": "assistant", "content": f"<think>I look closer.</think>{CALL}"},
        {"role": "user", "content": "<tool_response><image>Think first, then answer.</tool_response>"},
        {"role": "assistant", "content": "<think>It is bright.</think><answer>yes</answer>"},
    ],
    "images": ["0.png", "1.png"],
}
VITAR = {  # thought and action turns, here as objects; the marked picture comes back
    "conversations": [
        {"from": "human", "value": "<image>Which organ is marked?"},
        {"from": "gpt", "value": {"thought": "bright", "actions": [{"name": "mark", "arguments": {"bbox_2d": [1, 2, 3, 4]}}]}},
        {"from": "observation", "value": "<image>"},
        {"from": "gpt", "value": '{"thought": "Left upper.", "actions": [{"name": "Terminate", "arguments": {"ans": "spleen"}}]}'},
    ],
    "images": ["0.png", "1.png"],
}  # fmt: skip
MS_SWIFT = {  # its agent format: the call and the answer are turns of their own
    "messages": [
        {"role": "user", "content": "<image>What is inside the lesion?"},
        {"role": "assistant", "content": "<think>there</think>"},
        {"role": "tool_call", "content": '{"name": "zoom", "arguments": {"bbox_2d": [0, 0, 28, 28]}}'},
        {"role": "tool_response", "content": "<image>enlarged"},
        {"role": "assistant", "content": "<think>rows</think><answer>A</answer>"},
    ],
    "images": [{"path": "0.png"}, {"path": "1.png"}],
    "solution": "A",
}
MEDMULTIPOINTS = {  # ms-swift without tools (simula/PointDetectCount)
    "messages": [
        {"role": "user", "content": "<image> How many polyps?", "task": "counting", "source": "x"},
        {"role": "assistant", "content": '```json\n{"counts": 2, "label": "polyp"}\n```'},
    ],
    "images": ["0.png"],
    "answer": 2,
}
OPENAI = {
    "messages": [
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "Why?"}],
        },
        {
            "role": "assistant",
            "content": "I look. ",
            "tool_calls": [{"function": {"name": "zoom", "arguments": '{"image": 0}'}}],
        },
        {"role": "tool", "content": "nothing there"},
        {"role": "assistant", "content": "Because."},
    ],
    "images": ["0.png"],
}


@pytest.fixture
def folder(tmp_path):
    for number in range(2):
        Image.new("RGB", (100, 80), (number, 9, 9)).save(tmp_path / f"{number}.png")
    return tmp_path


def read(folder, *records, **options):
    (folder / "t.jsonl").write_text("\n".join(json.dumps(record) for record in records) + "\n")
    return list(trajectories.read(folder, "t", **options))


@pytest.mark.parametrize(
    "record, replies, observations, answer",
    [
        (
            DEEPEYES,
            [DEEPEYES["messages"][2]["content"], DEEPEYES["messages"][4]["content"]],
            [{"text": "Think first, then answer.", "images": [{"path": "1.png"}]}],
            "yes",
        ),
        (
            VITAR,
            [json.dumps(VITAR["conversations"][1]["value"]), VITAR["conversations"][3]["value"]],
            [{"text": "", "images": [{"path": "1.png"}]}],
            "spleen",
        ),
        (
            MS_SWIFT,
            [
                '<think>there</think><tool_call>{"name": "zoom", "arguments": {"bbox_2d": [0, 0, 28, 28]}}</tool_call>',
                "<think>rows</think><answer>A</answer>",
            ],
            [{"text": "enlarged", "images": [{"path": "1.png"}]}],
            "A",
        ),
        (MEDMULTIPOINTS, ['```json\n{"counts": 2, "label": "polyp"}\n```'], (), "2"),
        (
            OPENAI,
            ['I look. <tool_call>{"name": "zoom", "arguments": {"image": 0}}</tool_call>', "Because."],
            [{"text": "nothing there", "images": []}],
            "Because.",
        ),
    ],
)
def test_published_formats(folder, record, replies, observations, answer):
    (sample,) = read(folder, record)
    assert list(sample.demonstration) == replies
    assert list(sample.observations) == list(observations)
    assert sample.ground_truth == answer
    assert [image["path"] for image in sample.images] == ["0.png"]


def test_boxes_of_the_original_picture_are_left_to_the_prompt_builder(folder):
    (sample,) = read(folder, DEEPEYES, boxes="original")
    assert '"bbox_2d": {box 10 20 60 70}' in sample.demonstration[0]


def test_options_leave_out_what_the_recipe_says_itself(folder):
    (sample,) = read(folder, DEEPEYES, system=False, observations=False)
    assert [turn["role"] for turn in sample.messages] == ["user"]
    assert sample.observations == () and len(sample.demonstration) == 2


def test_a_choice_keeps_its_options_and_is_refused_without(folder):
    asked = {**MS_SWIFT, "kind": "choice"}
    sample, refused = read(folder, {**asked, "options": {"A": "rows", "B": "plain"}}, asked)
    assert sample.kind == "choice" and sample.options == {"A": "rows", "B": "plain"}
    assert "none of the options" in refused.reason


def turns(*roles):
    return {"messages": [{"role": role, "content": "x"} for role in roles], "images": []}


@pytest.mark.parametrize(
    "record, reason",
    [
        ({"question": "x"}, "no messages (or conversations); the columns are question"),
        (turns("user"), "there is no reply of the model"),
        (turns("assistant"), "there is no user turn"),
        (turns("user", "assistant", "tool"), "the last turn is not the model's"),
        (turns("user", "narrator"), "role 'narrator'"),
        (turns("user", "assistant", "tool", "user", "assistant"), "expected one observation between two replies"),
        (turns("tool", "user", "assistant"), "an observation stands before the first reply"),
        ({**DEEPEYES, "images": ["0.png"]}, "the question has 1 `<image>` and the observations 1, but there are 1"),
        ({**DEEPEYES, "images": ["0.png", 7]}, "images[1] is"),
        ({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "<image>"}]}, "a reply of"),
        ({"messages": [{"role": "user", "content": "x"}, {"role": "tool_call", "content": "zoom"}]}, "is a tool call"),
        ({"messages": "{"}, "messages is text, and not JSON"),
    ],
)
def test_what_is_no_trajectory_is_refused_with_its_reason(folder, record, reason):
    (refused,) = read(folder, record)
    assert isinstance(refused, Refused) and reason in refused.reason and refused.place == "t line 1"


def test_a_lost_picture_of_an_observation_is_refused(folder):
    (folder / "1.png").unlink()
    read(folder, DEEPEYES, MEDMULTIPOINTS)
    found = load("trajectories", folder, "t", {})
    assert [one.reason for one in found.refused] == ["the image file is not there"] and len(found.samples) == 1


def test_parquet_keeps_demonstration_and_observations(folder):
    (sample,) = read(folder, DEEPEYES)
    write_parquet([sample], folder / "v.parquet")
    (again,) = read_parquet(folder / "v.parquet")
    assert again.demonstration == sample.demonstration and again.observations == sample.observations
