"""Python processes that need not import large libraries.

The import of torch and transformers takes seconds, and few tests of processes are about that. A server imports
libraries once and forks a process per command. It imports nothing of kdrun, so that each process finds kdrun by its own
PYTHONPATH.
"""

import atexit
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PLAIN = ("hydra", "omegaconf", "rich.console", "rich.table", "yaml")
LARGE = (
    *PLAIN, "torch", "transformers.modeling_utils", "transformers.models.bert.modeling_bert",
    "transformers.models.auto.modeling_auto", "transformers.models.auto.tokenization_auto", "accelerate",
    "scipy.stats", "sklearn.metrics", "pyarrow",
)  # fmt: skip
SERVER = """
import gc, importlib, json, os, signal, sys

for name in sys.argv[1:]:
    importlib.import_module(name)
assert not [name for name in sys.modules if name.split(".")[0] == "kdrun"]
gc.collect()
gc.freeze()
libraries = sys.path[1:]


def next_command():
    for line in sys.stdin:
        request = json.loads(line)
        if isinstance(request, int):
            print(os.waitstatus_to_exitcode(os.waitpid(request, 0)[1]), flush=True)
            continue
        process = os.fork()
        if process == 0:
            return request
        print(process, flush=True)
    sys.exit()


command = next_command()
for number, path in enumerate([os.devnull, *command["files"]]):
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    os.dup2(file, number)
    os.close(file)
sys.stdin = open(0)
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.clear()
os.environ.update(command["env"])
os.chdir(command["cwd"])
sys.path[:] = ["", *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)), *libraries]
importlib.invalidate_caches()
sys.argv = command["argv"]
exec(command["code"], {"__name__": "__main__"})
"""
KDRUN = "from kdrun.cli.main import main; main()"
"""`python -m kdrun`."""


@dataclass(frozen=True)
class Process:
    """A process of a server.

    Attributes:
        pid: process id; a signal can be sent to it.
    """

    server: "Server"
    pid: int
    files: tuple[Path, Path]

    def finish(self) -> subprocess.CompletedProcess[str]:
        """Wait for the end; return exit code and output."""
        code = int(self.server.ask(self.pid))
        output, errors = (file.read_text(errors="replace") for file in self.files)
        return subprocess.CompletedProcess([], code, output, errors)


class Server:
    """A process that has imported modules and forks processes."""

    def __init__(self, modules: tuple[str, ...]) -> None:
        env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        env |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        command, pipe = [sys.executable, "-c", SERVER, *modules], subprocess.PIPE
        self._folder = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=env, cwd=self._folder.name)
        self._count = 0
        atexit.register(self.close)

    def ask(self, request: object) -> str:
        """Send a request; return the line that answers it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()

    def start(
        self, code: str, *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Process:
        """Start `python -c code arguments`."""
        self._count += 1
        files = tuple(Path(self._folder.name) / f"{name}-{self._count}.txt" for name in ("out", "err"))
        request = {
            "code": code, "argv": ["-c", *arguments], "env": dict(os.environ if env is None else env),
            "cwd": str(cwd or Path.cwd()), "files": [str(file) for file in files],
        }  # fmt: skip
        return Process(self, int(self.ask(request)), (files[0], files[1]))

    def run(
        self, code: str, *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `python -c code arguments` to its end."""
        return self.start(code, *arguments, env=env, cwd=cwd).finish()

    def close(self) -> None:
        """End the server."""
        self._process.communicate()
        self._folder.cleanup()


@cache
def with_libraries() -> Server:
    """The server whose processes have torch and transformers."""
    return Server(LARGE)


@cache
def without_torch() -> Server:
    """The server whose processes have the libraries that kdrun imports for any command."""
    return Server(PLAIN)
