"""Run a function in several processes that are connected as torchrun connects them."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

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
        command = [sys.executable, "-c", MAIN, module, name, str(folder)]
        processes.append(
            subprocess.Popen(
                command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
            )
        )
    outputs = [process.communicate(timeout=300) for process in processes]
    for process, (out, error) in zip(processes, outputs, strict=True):
        assert process.returncode == 0, f"{out}\n{error}"
    return [json.loads(out.rpartition("VALUE")[2]) for out, _ in outputs]
