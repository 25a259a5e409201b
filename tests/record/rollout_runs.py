"""Run directories with real episodes for the tests of the rollouts page: the tiny model's prompts, scripted replies."""

from dataclasses import replace
from pathlib import Path

from makers import recipe
from playing import ANSWER, call, detail, making, play, zooming

from medrl.learning.step import give_advantages
from medrl.record.run import Run
from medrl.scoring.loaded import load_rewards
from medrl.scoring.rewards import score_rollouts

HOSTILE = (
    '</script><script>window.hacked=1</script><img src=x onerror="window.hacked=1">'
    "<svg onload='window.hacked=1'>\u202e\u05d0\u05d1"
)
LONG = "W" * 3000
REWARDS = {
    "answer": {"use": "rewards/choice.py"},
    "thought": {"use": "rewards/turn_format.py", "weight": 0.2},
    "tool": {"use": "rewards/tool.py", "weight": 0.5},
}
WRONG = "<think>rows</think><answer>{letter}</answer>"
ENV = {"use": "envs/zoom.py:ZoomEnv", "kwargs": {"name": "zoom"}, "max_turns": 6}


def looks(number):
    """Three replies that zoom into different places, the last into the first crop."""
    step = 14 * (number % 5)
    return [call((step, 0, step + 28, 28)), call((56, step, 112, step + 42)), call((0, 0, 14, 14), image=1)]


def scripts(truth):
    """Eight attempts: looked and right, repeated itself, refused, unreadable, out of turns, straight, hostile, very long."""
    right, wrong = f"<think>seen</think><answer>{truth}</answer>", WRONG.format(letter="B" if truth != "B" else "C")
    return [
        [call((0, 0, 28, 28)), right],
        [call((0, 0, 56, 56)), call((0, 0, 56, 55)), call((0, 0, 112, 112)), wrong],
        [call((56, 0, 28, 28)), call((0, 0, 28, 28), image=7), right],
        ["<think>go</think><tool_call>{zoom!}</tool_call>", wrong],
        [*looks(1), *looks(2)],
        [right],
        [f'<think>{HOSTILE}</think><tool_call>{{"name": "{LONG[:90]}", "arguments": {{}}}}</tool_call>', f"{HOSTILE}{LONG}"],
        [call((28, 28, 84, 84)), "<think>" + "a long thought, " * 650 + f"</think><answer>{truth}</answer>"],
    ]  # fmt: skip


def zoom_run(folder, loaded, *, steps=(1,), questions=2, attempts=None, budget=4000):
    """A run of `questions` groups a step; `attempts(truth)` gives the scripts of a group."""
    settings = recipe(folder, "zoom", rewards=REWARDS, env=ENV)
    run = Run.open(settings)
    made, interaction = making(loaded, max_prompt_tokens=9000), zooming(**ENV)
    for step in steps:
        rollouts = []
        for number in range(questions):
            sample = detail(step * 10 + number)
            prompt = None
            for attempt, replies in enumerate((attempts or scripts)(sample.ground_truth)):
                one = play(made, replies, interaction, sample, budget)
                prompt = prompt or one.prompt
                rollouts.append(replace(one, attempt=attempt, prompt=prompt))
        score_rollouts(rollouts, load_rewards(settings.rewards))
        give_advantages(settings, rollouts, step - 1)
        run.write_rollouts(step, rollouts)
    return run.folder


def single_turn_run(folder: Path, loaded, *, questions=2, group=4):
    """What the quickstart writes: no environment, a picture a question."""
    from makers import builder, samples

    from medrl.rollout.types import Rollout

    settings = recipe(folder, "single")
    run = Run.open(settings)
    made = builder(loaded)
    prompts = [made.build(sample) for sample in samples(questions)]
    rollouts = []
    for prompt in prompts:
        for attempt in range(group):
            answer = prompt.sample.ground_truth if attempt == 0 else "77"
            ids = made.encode_reply(f"<think>I count</think><answer>{answer}</answer>")
            text = made.decode(ids)
            rollouts.append(Rollout(prompt, attempt, ids, [1] * len(ids), [0.0] * len(ids), text, "eos"))
    score_rollouts(rollouts, load_rewards(settings.rewards))
    give_advantages(settings, rollouts, 0)
    run.write_rollouts(1, rollouts)
    return run.folder


__all__ = ["ANSWER", "HOSTILE", "LONG", "looks", "single_turn_run", "zoom_run"]
