"""Which reward says whether an answer is right: what groups are filtered, samples replayed and alarms raised by."""

from medrl.data.sample import Sample
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


def judge_of(recipe: Recipe, sample: Sample) -> str | None:
    """The reward that says whether an answer to this question is right: `accuracy_reward` where it has a say, else the
    heaviest of those that name the question's kind, as `open: {use: …, kinds: [open]}` does beside one for choices."""
    chosen = accuracy_reward(recipe)
    kinds = recipe.rewards[chosen].kinds
    if not kinds or sample.kind in kinds:
        return chosen
    naming = [name for name, reward in recipe.rewards.items() if sample.kind in reward.kinds]
    return max(naming, key=lambda name: recipe.rewards[name].weight, default=None)


def judges(recipe: Recipe) -> set[str]:
    """Every reward that `judge_of` may name: the accuracy reward, and the heaviest of each kind that it has no say about."""
    kinds = {kind for reward in recipe.rewards.values() for kind in reward.kinds}
    chosen = accuracy_reward(recipe)
    others = kinds - set(recipe.rewards[chosen].kinds) if recipe.rewards[chosen].kinds else set()
    naming = [[name for name, reward in recipe.rewards.items() if kind in reward.kinds] for kind in others]
    return {chosen, *(max(names, key=lambda name: recipe.rewards[name].weight) for names in naming)}


def accuracy_for(recipe: Recipe, rollout: Rollout) -> float | None:
    """`accuracy_of` the reward that judges this rollout's question."""
    judge = judge_of(recipe, rollout.prompt.sample)
    return None if judge is None else accuracy_of(rollout, judge)
