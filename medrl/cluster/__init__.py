"""The cluster engine: verl's trainer, vLLM servers and FSDP workers under Ray. The only room that imports verl, ray or vllm."""
