"""Load a model folder in vLLM, let it answer, and compare its log-probabilities with transformers'; prints one JSON line."""

import json
import os
import sys
import tempfile
from pathlib import Path


def main(folder: Path) -> None:
    from medrl import preflight
    from medrl.cluster.driver import prepare_environment
    from medrl.cluster.settings import IN_ENGINE, Machine
    from medrl.dialogue.control import forbidden_ids
    from medrl.learning.model import load_model, stop_ids
    from medrl.recipe_file import load_recipe

    recipe = load_recipe(
        Path("recipes/quickstart.yaml"), [f"model.path={folder}", "data.val_options.n=8", "sft.steps=0"]
    )
    with tempfile.TemporaryDirectory(prefix="medrl-", dir="/tmp") as temp:
        prepare_environment(recipe, Machine("cpu", 2), Path(temp))
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        plan = preflight.check(recipe)
        loaded = load_model(recipe.model, recipe.engine, 0, Path(temp))
        from vllm import LLM, SamplingParams

        server = LLM(
            str(folder), dtype="float32", enforce_eager=True, max_model_len=304, max_num_seqs=8, skip_mm_profiling=True,
            max_num_batched_tokens=1024, enable_chunked_prefill=False, logprobs_mode="processed_logprobs",
            distributed_executor_backend=IN_ENGINE,
            mm_processor_kwargs={"size": {"shortest_edge": recipe.model.min_pixels, "longest_edge": recipe.model.max_pixels}},
        )  # fmt: skip
        tokenizer = loaded.processor.tokenizer
        stops = stop_ids(loaded.policy.model.generation_config, tokenizer)
        bias = dict.fromkeys(forbidden_ids(tokenizer, stops, len(tokenizer)), -100.0)
        prompts = [plan.builder.build(sample) for sample in plan.val.samples]
        image = tokenizer.convert_tokens_to_ids("<|image_pad|>")
        asked = [
            {
                # vLLM expands the one image token itself
                "prompt_token_ids": [t for i, t in enumerate(p.token_ids) if t != image or p.token_ids[i - 1] != image],
                "multi_modal_data": {"image": plan.builder.pictures(p.sample)},
            }
            for p in prompts
        ]
        settings = [
            SamplingParams(
                temperature=1.0,
                max_tokens=48,
                seed=n,
                logprobs=0,
                stop_token_ids=stops,
                logit_bias=bias,
                detokenize=False,
            )
            for n in range(len(prompts))
        ]
        replies = [answer.outputs[0] for answer in server.generate(asked, settings, use_tqdm=False)]
        ids = [list(reply.token_ids) for reply in replies]
        ours, _, _ = loaded.policy.token_logprobs(prompts, ids, temperature=1.0)
        gaps = [
            abs(float(ours[row, column].detach()) - reply.logprobs[column][token].logprob)
            for row, reply in enumerate(replies)
            for column, token in enumerate(ids[row])
        ]
        print(json.dumps({"tokens": len(gaps), "largest_gap": max(gaps)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
