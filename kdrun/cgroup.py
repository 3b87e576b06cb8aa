"""Limits that a control group puts on this process (Linux)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

MOUNT, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
UNLIMITED = 1 << 60
"""Bytes from which version 1 means no limit: it writes the largest multiple of a page."""


def cpu_quota(mount: Path = MOUNT, membership: Path = MEMBERSHIP) -> float | None:
    """Cores' worth of time per second that the group and the groups above it allow; None without a limit.

    Args:
        mount: folder of the control groups.
        membership: names this process's groups.
    """
    quotas = []
    for folder in _folders("cpu", mount, membership):
        if (limit := _read(folder / "cpu.max")) is not None:  # version 2: "200000 100000" or "max 100000"
            quota, _, period = limit.partition(" ")
        else:
            quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
        if quota and period and quota.isdecimal() and period.isdecimal() and int(period):
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def free_memory(mount: Path = MOUNT, membership: Path = MEMBERSHIP) -> int | None:
    """Bytes that the group and the groups above it still allow, without cached files; None without a limit.

    Args:
        mount: folder of the control groups.
        membership: names this process's groups.
    """
    free = []
    for folder in _folders("memory", mount, membership):
        for limit_name, usage_name in (("memory.max", "memory.current"), _MEMORY_V1):
            limit, usage = _read(folder / limit_name), _read(folder / usage_name)
            if limit and usage and limit.isdecimal() and usage.isdecimal() and int(limit) < UNLIMITED:
                free.append(max(0, int(limit) - int(usage) + _inactive_files(folder)))
    return min(free, default=None)


_MEMORY_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")


def _folders(controller: str, mount: Path, membership: Path) -> Iterator[Path]:
    """The existing folders of this process's group and of those above it, in both versions of control groups."""
    for line in (_read(membership) or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        names = controllers.split(",")
        if controllers and controller not in names:
            continue
        roots = [mount / controllers, mount / controller] if controllers else [mount, mount / "unified"]
        for root in roots:
            path = root / group.lstrip("/")
            for folder in (path, *path.parents):
                if folder.is_dir() and folder.is_relative_to(root):
                    yield folder


def _inactive_files(folder: Path) -> int:
    """Bytes of cached files that the kernel can drop at once."""
    for line in (_read(folder / "memory.stat") or "").splitlines():
        name, _, value = line.partition(" ")
        if name in ("inactive_file", "total_inactive_file") and value.isdecimal():
            return int(value)
    return 0


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
