"""Parity with TRL's own GRPOTrainer on fixed weights and fixed replies: advantages, loss, metrics and every gradient.

TRL does all of its own work - chat template, image processor, rewards to advantages, reference and old
log-probabilities, loss - and only the replies are given, through its rollout hook. Prompts differ in length (pictures
of two sizes), and so do replies.
"""

import dataclasses
import itertools

import pytest
import torch
from datasets import Dataset, Image, List
from makers import builder, rollout, samples
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from medrl.dialogue.prompts import load_style
from medrl.learning.advantages.gdpo import gdpo
from medrl.learning.advantages.grpo import dr_grpo, grpo, rloo
from medrl.learning.losses import default_aggregation, token_weights
from medrl.learning.model import load_model
from medrl.learning.update import Reference, UpdateSettings, micro_loss, update
from medrl.recipe import Algorithm, Engine, Model
from medrl.vision.open import open_image

TOLERANCE = 1e-5
ATTEMPTS = 3
LENGTHS = [3, 9, 6, 12, 5, 8]  # of the replies, two prompts with three attempts each
REWARDS = [1.0, 0.1, 0.0, 0.1, 1.1, 0.35]
SETTINGS = {"temperature": 0.8, "max_new_tokens": 16, "minibatches": 1, "max_grad_norm": 1e9, "share_prompts": True}


@pytest.fixture(scope="module")
def questions():
    """Two questions whose pictures take 16 and 9 image tokens, so that TRL has to pad the second prompt on the left."""
    return [*samples(1, size_px=112), *samples(1, size_px=84, seed=5)]


@pytest.fixture(scope="module")
def replies():
    """Fixed token ids: ordinary words of the vocabulary, the end token last."""
    drawn = torch.randint(20, 400, (len(LENGTHS), max(LENGTHS)), generator=torch.Generator().manual_seed(3))
    return [[*row[: length - 1].tolist(), 2] for row, length in zip(drawn, LENGTHS)]


@pytest.fixture
def make_trainer(tiny_folder, tmp_path, questions, replies, monkeypatch):
    """TRL's trainer over the tiny model on disk, its replies given by `rollout_func` and its rewards by a table."""
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")  # the rollout hook warns that it may change

    def make(asked=questions, rewards=REWARDS, given=replies, attempts=ATTEMPTS, more=(), **config):
        data = their_data(asked)
        arguments = GRPOConfig(
            output_dir=str(tmp_path / "trl"), use_cpu=True, bf16=False, report_to="none", logging_strategy="no",
            save_strategy="no", gradient_checkpointing=False, shuffle_dataset=False, disable_tqdm=True,
            per_device_train_batch_size=len(rewards), num_generations=attempts, temperature=SETTINGS["temperature"],
            max_completion_length=SETTINGS["max_new_tokens"],
            # TRL's default multiplies the KL term by the ratio (DeepSeek-V3.2), which changes its gradient even where
            # the ratio is 1; ours is the term as GRPO was published with it
            use_bias_correction_kl=False, **config,
        )  # fmt: skip

        def given_replies(prompts, trainer):
            return {"prompt_ids": trainer._tokenize_prompts(prompts)[0], "completion_ids": given, "logprobs": None}

        def given_rewards(prompts, **columns):
            return rewards

        graders = [given_rewards, *(grader(column, number) for number, column in enumerate(more))]
        return GRPOTrainer(str(tiny_folder), graders, arguments, data, rollout_func=given_replies)

    return make


def their_data(asked):
    """The questions as TRL's data set; it puts the picture in front of the text itself."""
    texts = [load_style("think").messages(one)[-1]["content"].removeprefix("<image>") for one in asked]
    columns = {
        "prompt": [[{"role": "user", "content": text}] for text in texts],
        "images": [[open_image(one.images[0], None)] for one in asked],
    }
    return Dataset.from_dict(columns).cast_column("images", List(Image()))


def grader(values, number):
    """A reward function that gives these values; TRL tells several apart by their names."""

    def given(prompts, **columns):
        return values

    given.__name__ = f"given_{number}"
    return given


def load_ours(folder):
    loaded = load_model(Model(path=str(folder)), Engine(device="cpu"), 0, folder)
    loaded.policy.forbidden_ids = torch.tensor([], dtype=torch.long)  # TRL's loss bans no token
    return loaded


def disturb(model, seed, by=0.04):
    """Move the weights, the same way on both sides, so that policy, old policy and reference are different models."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, value in sorted(model.named_parameters()):
            value += by * torch.randn(value.shape, generator=generator)


def their_batch(trainer):
    """TRL's own generation step, on the rows its own sampler repeats."""
    trainer.model.train()
    return trainer._generate_and_score_completions(next(iter(trainer.get_train_dataloader())))


def their_loss(trainer, batch):
    """(loss, gradients by name, metrics) of TRL's compute_loss."""
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.zero_grad()
    loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    metrics = {name: values[-1] for name, values in trainer._metrics["train"].items()}
    return loss.item(), gradients_of(trainer.model), metrics


def our_rollouts(loaded, questions, replies, advantages, pictures=None):
    making = builder(loaded)
    built = [making.build(question) for question in questions]
    if pictures is not None:
        others = [making.build(picture) for picture in pictures]
        built = [
            dataclasses.replace(prompt, pixel_values=other.pixel_values, image_grid_thw=other.image_grid_thw)
            for prompt, other in zip(built, others)
        ]
    rows = [prompt for prompt in built for _ in range(len(replies) // len(built))]
    return [rollout(prompt, reply, advantage) for prompt, reply, advantage in zip(rows, replies, advantages)]


def our_advantages(name, rewards=REWARDS, attempts=ATTEMPTS):
    return {"grpo": grpo, "dr_grpo": dr_grpo}[name](
        torch.tensor(rewards), torch.arange(len(rewards)) // attempts
    ).tolist()


def gradients_of(model):
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


class Recorder:
    """Stands in for the optimizer: keeps the gradients `update` made and changes nothing."""

    def __init__(self, model):
        self.model = model

    def step(self):
        self.gradients = gradients_of(self.model)

    def zero_grad(self):
        self.model.zero_grad()


def assert_same_gradients(ours, theirs):
    assert ours.keys() == theirs.keys()
    assert max(gradient.abs().max() for gradient in theirs.values()) > 0.01, "there is nothing to compare"
    assert theirs["model.visual.patch_embed.proj.weight"].abs().max() > 1e-4, "no gradient reaches the pictures"
    worst = {name: (ours[name] - theirs[name]).abs().max().item() for name in ours}
    assert max(worst.values()) <= TOLERANCE, sorted(worst.items(), key=lambda pair: -pair[1])[:3]
    for name in ours:  # an absolute bound alone would let a parameter with small gradients pass
        assert torch.allclose(ours[name], theirs[name], rtol=1e-2, atol=1e-3 * theirs[name].abs().max()), name


@pytest.mark.parametrize("kl_coef", [0.0, 0.3])
@pytest.mark.parametrize("advantage", ["grpo", "dr_grpo"])
def test_loss_and_gradients_equal_trl(make_trainer, tiny_folder, questions, replies, advantage, kl_coef):
    scale = {"grpo": "group", "dr_grpo": "none"}[advantage]
    trainer = make_trainer(loss_type=advantage, scale_rewards=scale, beta=kl_coef)
    disturb(trainer.model, seed=1)  # TRL's reference was loaded before and stays as it is on disk
    batch = their_batch(trainer)
    their_value, their_gradients, their_metrics = their_loss(trainer, batch)

    loaded = load_ours(tiny_folder)
    reference = Reference(loaded.policy)
    disturb(loaded.policy.model, seed=1)
    rollouts = our_rollouts(loaded, questions, replies, our_advantages(advantage))
    optimizer = Recorder(loaded.policy.model)
    # four rows at a time: the second group is split between two micro-batches
    settings = UpdateSettings(algorithm=Algorithm(advantage=advantage, kl_coef=kl_coef), micro_batch_size=4, **SETTINGS)
    metrics = update(loaded.policy, optimizer, rollouts, settings, reference)

    lengths = [len(one.prompt.token_ids) for one in rollouts]
    assert len(set(lengths)) == 2
    for one, ids, mask in zip(rollouts, batch["prompt_ids"], batch["prompt_mask"]):
        assert list(one.prompt.token_ids) == ids[mask.bool()].tolist(), "the prompts are not the same"
    assert batch["advantages"].tolist() == pytest.approx([one.advantage for one in rollouts], abs=TOLERANCE)
    assert metrics["policy/loss"] == pytest.approx(their_value, abs=TOLERANCE)
    assert metrics["policy/entropy"] == pytest.approx(their_metrics["entropy"], abs=TOLERANCE)
    if kl_coef:
        assert their_metrics["kl"] > 0.01, "the reference is the policy itself; the KL term would not be tested"
        assert metrics["policy/kl"] == pytest.approx(their_metrics["kl"], abs=TOLERANCE)
    assert_same_gradients(optimizer.gradients, their_gradients)


# TRL's name of a loss, our aggregation, ratio and the bounds within which some but not all are clipped; luspo is GSPO's
# ratio with the sum over a reply
OFF_POLICY = [
    ("grpo", "seq-mean-token-mean", "token", 0.1, 0.28),
    ("dr_grpo", "seq-mean-token-sum-norm", "token", 0.1, 0.28),
    ("bnpo", "token-mean", "token", 0.1, 0.28),
    ("luspo", "seq-mean-token-sum", "token", 0.1, 0.28),
    ("grpo", "seq-mean-token-mean", "sequence", 0.11, 0.005),
    ("luspo", "seq-mean-token-sum", "sequence", 0.11, 0.005),
]


@pytest.mark.parametrize(("loss_type", "aggregation", "ratio", "low", "high"), OFF_POLICY)
def test_clipped_off_policy_loss_equals_trl(
    make_trainer, tiny_folder, questions, replies, loss_type, aggregation, ratio, low, high
):
    advantage = "dr_grpo" if loss_type == "dr_grpo" else "grpo"
    # with two passes over one batch TRL keeps the log-probabilities of the model that generated
    trainer = make_trainer(
        loss_type=loss_type, scale_rewards={"grpo": "group", "dr_grpo": "none"}[advantage], beta=0.3,
        epsilon=low, epsilon_high=high, num_iterations=2, importance_sampling_level=ratio,
    )  # fmt: skip
    disturb(trainer.model, seed=1)
    batch = their_batch(trainer)
    disturb(trainer.model, seed=7, by=0.02)
    their_value, their_gradients, their_metrics = their_loss(trainer, batch)
    assert their_metrics["clip_ratio/low_mean"] > 0.05 and their_metrics["clip_ratio/high_mean"] > 0.05
    assert their_metrics["clip_ratio/region_mean"] < 0.9

    loaded = load_ours(tiny_folder)
    reference = Reference(loaded.policy)
    disturb(loaded.policy.model, seed=1)
    rollouts = our_rollouts(loaded, questions, replies, our_advantages(advantage))
    old = old_logprobs(loaded.policy, rollouts)
    disturb(loaded.policy.model, seed=7, by=0.02)
    algorithm = Algorithm(loss_aggregation=aggregation, kl_coef=0.3, clip_low=low, clip_high=high, ratio=ratio)
    loss, sums = our_micro_loss(loaded.policy, rollouts, algorithm, reference, old)
    loss.backward()

    assert loss.item() == pytest.approx(their_value, abs=TOLERANCE)
    if ratio == "token":  # of replies TRL counts each once, and we each of its tokens, as verl does
        assert sums["clip_fraction"] / sum(LENGTHS) == pytest.approx(
            their_metrics["clip_ratio/region_mean"], abs=TOLERANCE
        )
    assert_same_gradients(gradients_of(loaded.policy.model), their_gradients)


def test_both_sides_see_whose_picture_it_is(make_trainer, tiny_folder, replies):
    """R1-V PR#54: pictures handed to the wrong rows. Equal sizes, so that only their content tells them apart."""
    asked = samples(2)
    values = {}
    for order, pictures in (("right", asked), ("swapped", asked[::-1])):
        trainer = make_trainer(asked=pictures, beta=0.3, loss_type="grpo")  # the question is the same for both
        disturb(trainer.model, seed=1)
        theirs = their_loss(trainer, their_batch(trainer))[0]
        loaded = load_ours(tiny_folder)
        reference = Reference(loaded.policy)
        disturb(loaded.policy.model, seed=1)
        rollouts = our_rollouts(loaded, asked, replies, our_advantages("grpo"), pictures)
        values[order] = our_micro_loss(loaded.policy, rollouts, Algorithm(kl_coef=0.3), reference)[0].item(), theirs
    for ours, theirs in values.values():
        assert ours == pytest.approx(theirs, abs=TOLERANCE)
    assert all(abs(right - swapped) > 1e-3 for right, swapped in zip(*values.values()))


@pytest.mark.parametrize("name, scale", [("grpo", "group"), ("dr_grpo", "none")])
def test_advantages_equal_trl(make_trainer, replies, name, scale):
    # groups: ordinary, all equal, close together, far apart. The equal ones are a power of two: where their mean is not
    # exact, TRL divides the rounding error by epsilon, while ours gives exactly 0
    rewards = [1.1, 0.1, 0.0, 1.0, *[0.5] * 4, 0.3, 0.3, 0.3, 0.3001, -100.0, 7.0, 0.25, 1e4]
    given = list(itertools.islice(itertools.cycle(replies), len(rewards)))
    trainer = make_trainer(asked=samples(4), rewards=rewards, given=given, attempts=4, scale_rewards=scale)
    theirs = their_batch(trainer)["advantages"]
    ours = torch.tensor(our_advantages(name, rewards, attempts=4))
    assert theirs.abs().max() > 1
    assert torch.allclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE)


def test_gdpo_equals_trl(make_trainer, replies):
    # three rewards of very different sizes, one of them all equal in a group; a power of two, as above
    columns = [
        [1.0, 0.1, 0.0, 0.1, 1.1, 0.35],
        [100.0, 0.0, 50.0, 0.0, 0.0, 100.0],
        [0.25, 0.25, 0.25, 0.01, 0.02, 0.03],
    ]
    weights = [1.0, 0.25, 2.0]
    trainer = make_trainer(
        rewards=columns[0], more=columns[1:], reward_weights=weights, multi_objective_aggregation="normalize_then_sum"
    )
    theirs = their_batch(trainer)["advantages"]
    ours = gdpo(torch.tensor(columns).T, torch.tensor(weights), torch.arange(6) // ATTEMPTS)
    assert theirs.std() > 0.9
    torch.testing.assert_close(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE)


def test_rloo_equals_trl(tiny_folder, tmp_path):
    # TRL's trainer of that name takes no given replies, so it samples its own, of two tokens; the rewards are a table
    rewards = [1.1, 0.1, 0.0, 1.0, *[0.5] * 4, 0.3, 0.3, 0.3, 0.3001, -100.0, 7.0, 0.25, 1e4]
    arguments = RLOOConfig(
        output_dir=str(tmp_path / "trl"), use_cpu=True, bf16=False, report_to="none", logging_strategy="no",
        save_strategy="no", gradient_checkpointing=False, shuffle_dataset=False, disable_tqdm=True, beta=0.0,
        per_device_train_batch_size=len(rewards), num_generations=4, max_completion_length=2, normalize_advantages=False,
    )  # fmt: skip
    trainer = RLOOTrainer(str(tiny_folder), grader(rewards, 0), arguments, their_data(samples(4)))
    theirs = their_batch(trainer)["advantages"]
    ours = rloo(torch.tensor(rewards), torch.arange(len(rewards)) // 4)
    assert theirs.abs().max() > 1
    torch.testing.assert_close(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE)


def old_logprobs(policy, rollouts):
    with torch.no_grad():
        rows, _, _ = policy.token_logprobs(
            [one.prompt for one in rollouts], [one.token_ids for one in rollouts], temperature=SETTINGS["temperature"]
        )
    return {id(one): row[: len(one.token_ids)] for one, row in zip(rollouts, rows)}


def our_micro_loss(policy, rollouts, algorithm, reference, old=None):
    settings = UpdateSettings(algorithm=algorithm, micro_batch_size=64, **SETTINGS)
    mask = torch.zeros(len(rollouts), max(LENGTHS))
    for row, one in zip(mask, rollouts):
        row[: len(one.token_ids)] = 1
    aggregation = algorithm.loss_aggregation or default_aggregation(algorithm.advantage)
    weights = token_weights(mask, aggregation, SETTINGS["max_new_tokens"])
    return micro_loss(policy, rollouts, list(weights), settings, reference, old)
