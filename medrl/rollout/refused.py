"""What a rollout may not train with: control tokens the model should not have been able to say, pictures without tokens.

Either breaks the forward pass, or trains on what nobody saw, hours later (verl#4050, TRL#3847). Here it costs one rollout: it
has no reward, the reason is counted, and above `scoring.max_missing` the run stops and says so.
"""

from medrl.dialogue.tokens import PromptBuilder
from medrl.rollout.types import Rollout

TOKENS = "tokens"  # the name in Rollout.missing


def refuse(rollout: Rollout, builder: PromptBuilder, forbidden: str | None = None) -> None:
    """Write into `missing` why a rollout may not train; leaves a sound one alone. `forbidden`: a token the model said."""
    if forbidden:
        rollout.missing[TOKENS] = f"forbidden_token: the model said {forbidden}, which stands for no text"
    elif fault := fault_of(rollout, builder):
        rollout.missing[TOKENS] = fault


def fault_of(rollout: Rollout, builder: PromptBuilder) -> str | None:
    """What is wrong between image tokens and image features, or between ids, mask and log-probabilities, if anything."""
    lengths = len(rollout.token_ids), len(rollout.mask), len(rollout.logprobs)
    if len(set(lengths)) != 1 or not rollout.token_ids:
        return f"lengths: {lengths} ids, mask entries and log-probabilities; expected as many of each, and at least one"
    whole = rollout.whole_prompt
    tokens = whole.token_ids.count(builder.image_token_id) + rollout.token_ids.count(builder.image_token_id)
    features = sum(builder.features(whole.image_grid_thw))
    if tokens != features:
        return f"image_tokens: {tokens} image tokens for {features} image features"
    return None
