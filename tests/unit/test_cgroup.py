"""Limits of control groups, versions 1 and 2, from files like the kernel's."""

from pathlib import Path

import pytest

from kdrun import cgroup

V2, V1 = "0::/user/job\n", "9:name=systemd:/\n4:cpu,cpuacct:/jobs/one\n3:memory:/jobs/one\n0::/\n"


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text + "\n")


def membership(folder: Path, text: str) -> Path:
    path = folder / "membership"
    path.write_text(text)
    return path


def test_version_2_takes_the_smallest_quota_of_a_group_and_those_above(tmp_path: Path) -> None:
    mount, names = tmp_path / "mount", membership(tmp_path, V2)
    write(mount / "user/job", cpu__max="max 100000", memory__max="max", memory__current="10")
    write(mount / "user", cpu__max="150000 100000", memory__max="1000", memory__current="600")
    (mount / "user/memory.stat").write_text("anon 500\ninactive_file 80\n")
    assert cgroup.cpu_quota(mount, names) == 1.5
    assert cgroup.free_memory(mount, names) == 1000 - 600 + 80


def test_version_1(tmp_path: Path) -> None:
    mount, names = tmp_path / "mount", membership(tmp_path, V1)
    write(mount / "cpu,cpuacct/jobs/one", cpu__cfs_quota_us="300000", cpu__cfs_period_us="100000")
    write(mount / "cpu,cpuacct", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    write(mount / "memory/jobs/one", memory__limit_in_bytes="5000", memory__usage_in_bytes="2000")
    write(mount / "memory", memory__limit_in_bytes="9223372036854771712", memory__usage_in_bytes="9000")
    assert cgroup.cpu_quota(mount, names) == 3.0
    assert cgroup.free_memory(mount, names) == 3000


def test_in_a_container_the_named_group_need_not_exist(tmp_path: Path) -> None:
    mount, names = tmp_path / "mount", membership(tmp_path, "2:cpu:/docker/abc\n0::/docker/abc\n")
    write(mount / "cpu", cpu__cfs_quota_us="50000", cpu__cfs_period_us="100000")
    assert cgroup.cpu_quota(mount, names) == 0.5


@pytest.mark.parametrize("text", ["", "max 100000", "junk", "0 0", "100000 0"])
def test_no_limit(text: str, tmp_path: Path) -> None:
    mount, names = tmp_path / "mount", membership(tmp_path, V2)
    write(mount / "user/job", cpu__max=text)
    assert cgroup.cpu_quota(mount, names) is None
    assert cgroup.cpu_quota(mount, tmp_path / "missing") is None
    assert cgroup.free_memory(tmp_path / "none", names) is None
