"""Run a function in several processes that are connected as torchrun connects them."""

import json
import os
import socket
from pathlib import Path
from typing import Any

from tests.helpers import forked
from tests.helpers.paths import ROOT

MAIN = """
import importlib, json, sys
import torch

torch.set_num_threads(1)
module, name, folder = sys.argv[1:]
value = getattr(importlib.import_module(module), name)(folder)
print("\\nVALUE" + json.dumps(value))
"""


def run_together(function: str, count: int, folder: Path) -> list[Any]:
    """Return what a function gives in each process, by rank.

    Args:
        function: `module:name`; takes the folder, returns JSON data.
        count: number of processes.
        folder: the processes share it.
    """
    module, name = function.split(":")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = []
    for rank in range(count):
        env = os.environ | {"RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_RANK": str(rank)}
        env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
        processes.append(forked.with_libraries().start(MAIN, module, name, str(folder), env=env, cwd=ROOT))
    results = [process.finish() for process in processes]
    for result in results:
        assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    return [json.loads(result.stdout.rpartition("VALUE")[2]) for result in results]
