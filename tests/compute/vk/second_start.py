#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""second_start.py RADV_STATS TEST_KERNELS: a second start finds its pipelines compiled.

llvmpipe's own cache holds nothing, so this is shown with Mesa's driver for AMD, which compiles without hardware: pipelines that the
kernel tests ask for are compiled twice in processes of their own, with Mesa's cache switched off and ours in an empty folder.
"""
import os
import re
import subprocess
import sys
import tempfile

ICD = "/usr/share/vulkan/icd.d/%s_icd.x86_64.json"


def some_pipelines(test_kernels, path):
    for kernel in ("rms_norm", "attention", "matmul"):
        subprocess.run([test_kernels, kernel, "--device", "vulkan:0", "--filter", "m=64" if kernel == "matmul" else "1"], check=False,
                       capture_output=True, env=dict(os.environ, PAGEREEL_VK_LIST=path, VK_ICD_FILENAMES=ICD % "lvp",
                                                     PAGEREEL_VK_ASSUME="record-only,subgroup=32"))
    lines = sorted(set(open(path).read().splitlines()))
    with open(path, "w") as file:
        file.write("\n".join(lines[::len(lines) // 24 or 1]) + "\n")


def start(radv_stats, path, folder):
    """Seconds that the list took."""
    env = dict(os.environ, RADV_FORCE_FAMILY="NAVI21", VK_ICD_FILENAMES=ICD % "radeon", MESA_SHADER_CACHE_DISABLE="true",
               ASAN_OPTIONS="detect_leaks=0")  # the tool ends without closing anything
    env.pop("PAGEREEL_VK_VALIDATE", None)
    done = subprocess.run([radv_stats, path, folder], env=env, capture_output=True, text=True)
    if "no device" in done.stderr:
        print("skipped: the driver for AMD doesn't work without hardware here")
        sys.exit(77)
    found = re.search(r"(\d+) pipelines in ([0-9.]+) s", done.stdout)
    assert done.returncode == 0 and found, done.stderr
    assert int(found.group(1)) > 8, done.stdout
    return int(found.group(1)), float(found.group(2))


def main():
    for icd in ("lvp", "radeon"):
        if not os.path.exists(ICD % icd):
            print(f"skipped: no {ICD % icd}")
            sys.exit(77)
    with tempfile.TemporaryDirectory() as folder:
        path, cache = os.path.join(folder, "list"), os.path.join(folder, "cache")
        some_pipelines(sys.argv[2], path)
        n, first = start(sys.argv[1], path, cache)
        second = min(start(sys.argv[1], path, cache)[1] for _ in range(3))
        size = sum(os.path.getsize(os.path.join(cache, name)) for name in os.listdir(cache))
        print(f"{n} pipelines: first start {first:.3f} s, second {second:.3f} s, {size} bytes on disk")
        assert second < first / 4, "the second start compiled again"


if __name__ == "__main__":
    main()
