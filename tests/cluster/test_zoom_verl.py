"""Episodes of several turns with pictures through real vLLM, Ray and FSDP: what is trained on is what was generated."""

import io
import json

import pytest
import torch
from cluster_runs import finish, journal, start, summary
from makers import tiny
from PIL import Image
from playing import making

from medrl.data.adapters import phantom_detail
from medrl.learning.advantages.grpo import grpo
from medrl.learning.advantages.uadt import uadt
from medrl.learning.state import read_trainer
from medrl.record.album import own_name, read_album

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


# too short to learn where to look, long enough to write a call; cooler, so that it is seldom misspelt
SHORT = """engine.name=verl training.steps=4 sft.steps=160 sampling.temperature=0.4
data.train_options.n=256 data.val_options.n=24 data.demonstration_options.n=512 val.every=100 checkpoint.every=100
algorithm.advantage=uadt algorithm.kwargs.lambda=0.9 algorithm.kwargs.gamma=0.8""".split()  # noqa: SIM905 - twelve quoted strings would read worse


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run = tmp_path_factory.mktemp("zoom") / "zoom"
    code = finish(start(run, *SHORT, recipe="recipes/quickstart_zoom.yaml"), within_s=800)
    assert code == 0, run.with_suffix(".log").read_text()[-3000:]
    return run


def rows(run, step):
    return [json.loads(line) for line in (run / "rollouts" / f"step_{step:06d}.jsonl").read_text().splitlines()]


def test_it_completes_and_many_attempts_look_again(finished):
    assert summary(finished)["status"] == "completed" and summary(finished)["steps"] == 4
    steps = [entry for entry in journal(finished) if entry["stage"] == "grpo" and entry["step"]]
    shares = [entry["tool/confirmed"] for entry in steps]
    assert min(shares) > 0 and sum(shares) > 0.4, "too few pictures in replies to say anything"
    looked = [row for row in rows(finished, 4) if len(row["turns"]) == 2 and row["turns"][0]["confirmed"]]
    assert len(looked) > 8
    for row in looked:
        left, top, right, bottom = row["turns"][0]["confirmed"]["box_px_original"]
        assert 0 <= left < right <= 224 and 0 <= top < bottom <= 224
        assert "<tool_call>" not in row["reply"], "the reply that is graded is the last one"


def test_what_an_episode_was_shown_reaches_the_run_directory(finished):
    """All 8 prompts of a step are among those whose pictures are kept; they travel from the episode's worker."""
    album = read_album(finished / "rollouts/step_000004.zip")
    for row in rows(finished, 4):
        assert own_name(row["images"][0]) in album
        shown = row.get("shown", [])
        assert len(shown) == sum(turn["images"] for turn in row["turns"])
        for one in shown:
            kept, size = Image.open(io.BytesIO(album[one["name"]])), one["size_px"]
            assert max(kept.size) <= 320 and kept.width / kept.height == pytest.approx(size[0] / size[1], rel=0.1)


def test_vllm_and_the_actor_agree_on_every_token_of_every_turn(finished):
    """A picture in another place, other positions or another mask would show here at once."""
    steps = [entry for entry in journal(finished) if entry["stage"] == "grpo" and entry["step"]]
    assert all(0 < entry["policy/engine_gap"] < 1e-5 and entry["policy/engine_gap_max"] < 1e-3 for entry in steps)


def test_uncertainty_shapes_the_advantages_and_is_written_down(finished):
    """Shaped once more from what was stored alone: rewards, questions, entropies, and the reference of the step before."""
    state, steps = {}, {entry["step"]: entry for entry in journal(finished) if entry["stage"] == "grpo"}
    for step in range(1, 5):
        made = [row for row in rows(finished, step) if row["reward"] is not None]
        assert len(made) > 56 and all(row["entropy"] > 0 for row in made)
        names = {name: number for number, name in enumerate(dict.fromkeys(row["sample_id"] for row in made))}
        groups = torch.tensor([names[row["sample_id"]] for row in made])
        rewards, entropies = (torch.tensor([row[name] for row in made]) for name in ("reward", "entropy"))
        again = uadt(rewards, groups, entropies, state, lambda_=0.9, gamma=0.8)
        assert again.advantages.tolist() == pytest.approx([row["advantage"] for row in made], abs=1e-6)
        state = again.state
        told = {name: steps[step][f"advantage/{name}"] for name in ("uncertainty", "reference", "weight_mean")}
        assert told == pytest.approx({name: again.metrics[name] for name in told}, abs=1e-6)
        assert not torch.equal(again.advantages, grpo(rewards, groups))
    assert read_trainer(finished / "checkpoints" / "global_step_4")["advantage"] == pytest.approx(state, abs=1e-6)


def test_what_the_environment_said_has_the_tokens_that_engine_local_would_give_it(finished):
    made = making(tiny())
    samples = {sample.id: sample for sample in phantom_detail.read(None, "train", n=256)}
    checked = 0
    for row in rows(finished, 4):
        assert row["tokens"] == sum(sum(turn["tokens"]) for turn in row["turns"])
        for turn in row["turns"]:
            if turn["confirmed"] is None or not turn["images"]:
                continue
            left, top, right, bottom = turn["confirmed"]["box_px_original"]
            size = (round(right - left), round(bottom - top))
            ended = [made.tokenizer.convert_tokens_to_ids("</tool_call>")]
            ids = made.between_turns(ended, f"<tool_response>{turn['observation']}</tool_response>", [size])
            assert turn["tokens"][1] == len(ids)
            checked += 1
        assert row["sample_id"] in samples
    assert checked > 8
