"""A user's estimator tried on made-up rewards before anything heavy loads, so that it does not fail at the first step."""

from dataclasses import replace

from medrl.dialogue.tokens import Prompt
from medrl.errors import MedrlError
from medrl.learning.estimator import Estimator
from medrl.recipe import Recipe
from medrl.rollout.types import Rollout
from medrl.scoring.compose import SCORE, total

STEPS = 2  # the second one is given the state of the first
TRIED_ON = (
    "made-up rewards: a question whose attempts are right and wrong in turn, one whose attempts are all right, and one with a "
    "single scored attempt; all three occur in every run"
)


def try_estimator(estimator: Estimator, recipe: Recipe, prompts: list[Prompt]) -> None:
    """Two steps of a mixed group, one all right and one that has lost all but one attempt. Raises MedrlError.

    `prompts`: three of the recipe's; the estimator's own state stays as it was.
    """
    tried = replace(estimator, state={})
    size = recipe.algorithm.group_size
    mixed, right, lost = prompts
    scores = [(mixed, attempt % 2) for attempt in range(size)] + [(right, 1)] * size + [(lost, 1)]
    try:
        for _ in range(STEPS):
            tried.advantages(recipe, [_rollout(recipe, *one, number) for number, one in enumerate(scores)])
    except MedrlError as error:
        raise MedrlError(f"{error} It was tried on {TRIED_ON}.") from None


def _rollout(recipe: Recipe, prompt: Prompt, score: int, number: int) -> Rollout:
    """An attempt of two tokens to which every reward gives this score."""
    made = Rollout(
        prompt, number, [0, 0], [1, 1], [-1.0, -1.0], "", "eos", entropy=0.5 + 0.1 * (number % 3),
        scores={f"{name}/{SCORE}": float(score) for name in recipe.rewards},
    )  # fmt: skip
    made.reward = total(made.scores, recipe.rewards)
    return made
