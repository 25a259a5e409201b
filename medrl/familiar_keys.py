"""What users of verl, EasyR1 and TRL would write in a recipe; answered with our name for it."""

FAMILIAR = {
    "rollout.n": "algorithm.group_size", "num_generations": "algorithm.group_size", "n": "algorithm.group_size",
    "adv_estimator": "algorithm.advantage", "beta": "algorithm.kl_coef", "kl_loss_coef": "algorithm.kl_coef",
    "clip_ratio_low": "algorithm.clip_low", "clip_ratio_high": "algorithm.clip_high", "epsilon": "algorithm.clip_low",
    "epsilon_high": "algorithm.clip_high", "loss_agg_mode": "algorithm.loss_aggregation", "loss_type": "algorithm.advantage",
    "train_batch_size": "training.prompts_per_step", "ppo_micro_batch_size": "training.micro_batch_size",
    "per_device_train_batch_size": "training.micro_batch_size", "ppo_mini_batch_size": "training.minibatches",
    "max_prompt_length": "sampling.max_prompt_tokens", "max_response_length": "sampling.max_new_tokens",
    "max_completion_length": "sampling.max_new_tokens", "max_steps": "training.steps", "total_training_steps": "training.steps",
    "total_epochs": "training.steps", "learning_rate": "optimizer.lr", "save_freq": "checkpoint.every",
    "save_steps": "checkpoint.every", "test_freq": "val.every", "eval_steps": "val.every", "experiment_name": "name",
    "project_name": "loggers.project", "train_files": "data.train", "val_files": "data.val", "model_name_or_path": "model.path",
    "n_gpus_per_node": "engine.gpus_per_node", "nnodes": "engine.nodes", "gpu_memory_utilization": "engine.vllm_memory",
    "tensor_model_parallel_size": "engine.tensor_parallel", "ulysses_sequence_parallel_size": "engine.sequence_parallel",
    "param_offload": "engine.offload",
    "max_assistant_turns": "env.max_turns", "reward_funcs": "rewards", "custom_reward_function": "rewards",
    "trainer.logger": "loggers", "ignore_exceed": "algorithm.mask_over_turns",
    "mask_truncated_completions": "algorithm.mask_over_turns",
}  # fmt: skip
