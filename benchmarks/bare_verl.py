"""verl by itself, as `python -m verl.trainer.main_ppo` runs it: the peer of verl_overhead.py.

Also what its workers load as `model.external_lib`: without the two mends below, verl 0.9.1 does not start beside TRL 1.x,
and its update fails on equally long sequences.
"""

import ray
from verl.trainer.main_ppo import TaskRunnerV1, run_ppo

from medrl.cluster import upstream

upstream.mend()


def train(config, at_step):
    """Run verl's own trainer; `at_step(metrics of the step before)` is called before each step, in verl's process."""

    @ray.remote
    class Runner(TaskRunnerV1.__ray_metadata__.modified_class):
        def run(self, config):
            from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync

            upstream.mend()
            found, compute = {}, PPOTrainerSync._compute_metrics

            def compute_metrics(trainer, batch, metrics, timing_raw, **more):
                compute(trainer, batch, metrics, timing_raw, **more)
                found.update(metrics)

            PPOTrainerSync._compute_metrics = compute_metrics
            PPOTrainerSync.on_step_begin = lambda trainer: at_step(found)
            super().run(config)

    run_ppo(config, Runner)
