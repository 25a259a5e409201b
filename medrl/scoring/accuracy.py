"""Which reward says whether an answer is right: what groups are filtered, samples replayed and alarms raised by."""

from medrl.recipe import Recipe
from medrl.rollout.types import Rollout
from medrl.scoring.compose import SCORE


def accuracy_reward(recipe: Recipe) -> str:
    """`scoring.accuracy`; by default the reward called `answer`, else the heaviest one, the first of equals."""
    if recipe.scoring.accuracy is not None:
        return recipe.scoring.accuracy
    if "answer" in recipe.rewards:
        return "answer"
    return max(recipe.rewards, key=lambda name: recipe.rewards[name].weight)


def accuracy_of(rollout: Rollout, reward: str) -> float | None:
    """The raw score of that reward, whatever its weight and gate; None where it has no say or gave none."""
    return rollout.scores.get(f"{reward}/{SCORE}")
