"""Let the tiny model answer in vLLM through medrl's engine: ends of several tokens, banned tokens; prints one JSON line."""

import asyncio
import json
import os
import tempfile
from pathlib import Path
from types import SimpleNamespace


class Client:
    """vLLM in this process behind the method that verl's client has, asking for what verl's server asks for."""

    def __init__(self, server):
        self.server = server

    async def generate(self, *, request_id, prompt_ids, sampling_params, image_data):
        from vllm import SamplingParams

        given = SamplingParams(**{**sampling_params, "logprobs": 0})
        asked = {"prompt_token_ids": prompt_ids, "multi_modal_data": {"image": image_data}}
        found = self.server.generate([asked], [given], use_tqdm=False)[0].outputs[0]
        probabilities = [found.logprobs[place][token].logprob for place, token in enumerate(found.token_ids)]
        return SimpleNamespace(token_ids=found.token_ids, log_probs=probabilities, stop_reason="completed")


def main() -> None:
    from makers import builder, prompts, tiny

    from medrl.cluster.driver import prepare_environment
    from medrl.cluster.episodes import ServerEngine
    from medrl.cluster.settings import IN_ENGINE, Machine
    from medrl.dialogue.control import forbidden_ids
    from medrl.learning.tiny import save_tiny
    from medrl.recipe_file import load_recipe
    from medrl.rollout.types import Sampling

    with tempfile.TemporaryDirectory(prefix="medrl-", dir="/tmp") as temp:
        folder = save_tiny(Path(temp) / "tiny")
        prepare_environment(load_recipe(Path("recipes/quickstart.yaml")), Machine("cpu", 2), Path(temp))
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        from vllm import LLM

        server = LLM(
            str(folder), dtype="float32", enforce_eager=True, max_model_len=512, max_num_seqs=8, skip_mm_profiling=True,
            max_num_batched_tokens=1024, enable_chunked_prefill=False, logprobs_mode="processed_logprobs",
            distributed_executor_backend=IN_ENGINE,
            mm_processor_kwargs={"size": {"shortest_edge": 784, "longest_edge": 200704}},
        )  # fmt: skip
        loaded = tiny()
        made, stops = builder(loaded), sorted(loaded.policy.stop_ids)
        words = loaded.processor.tokenizer
        bias = dict.fromkeys(forbidden_ids(words, stops, len(words)), -100.0)
        counts = dict.fromkeys(("dialogues", "cut", "differ", "banned", "banned_without_bias"), 0)

        def answer(prompt, bias, **sampling):
            # vLLM expands the one image token itself
            image = made.image_token_id
            once = [t for i, t in enumerate(prompt.token_ids) if t != image or prompt.token_ids[i - 1] != image]
            engine = ServerEngine(Client(server), made.pictures(prompt.sample), stops, bias, "r")
            short = SimpleNamespace(token_ids=once, added_pictures=())
            return asyncio.run(engine.generate(short, (), Sampling(**sampling)))

        for number, prompt in enumerate(prompts(loaded, 6)):
            given = {"temperature": 2.0, "max_new_tokens": 200, "seed": number}
            free = answer(prompt, bias, **given)
            # some text of several letters that the untrained model happened to say
            pieces = (made.decode(free.token_ids[start : start + 4]).strip()[-4:] for start in range(4, 60))
            text = next(piece for piece in pieces if piece.isascii() and len(piece) > 1)
            end = made.action_end(text)
            ended = answer(prompt, bias, **given, end=end)
            kept = end.cut(free.token_ids)
            counts["dialogues"] += 1
            counts["cut"] += kept < len(free.token_ids) and ended.stop == "eos"
            counts["differ"] += (ended.token_ids, ended.logprobs) != (free.token_ids[:kept], free.logprobs[:kept])
            counts["banned"] += sum(index in bias for index in free.token_ids)
            counts["banned_without_bias"] += sum(index in bias for index in answer(prompt, {}, **given).token_ids)
        print(json.dumps(counts))


if __name__ == "__main__":
    main()
