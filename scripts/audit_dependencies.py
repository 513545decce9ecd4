#!/usr/bin/env python3
"""What the program is built of: each crate below aelab with its licence and its lines with `unsafe`, and who brings it.

    scripts/audit_dependencies.py            the table of direct dependencies and totals
    scripts/audit_dependencies.py --all      every crate

Reads `cargo metadata` and the sources that cargo has downloaded; needs no network where they are there. What must hold (licences,
sources, advisories, duplicates) is in `deny.toml`; this is for reading.
"""
import json
import re
import subprocess
import sys
from pathlib import Path

TARGET = "x86_64-unknown-linux-gnu"


def cargo(*words):
    root = Path(__file__).resolve().parent.parent
    return subprocess.run(["cargo", *words], check=True, capture_output=True, text=True, cwd=root).stdout


def metadata():
    return json.loads(cargo("metadata", "--format-version", "1", "--locked", "--filter-platform", TARGET))


def linked_crates():
    """Names and versions of what the program is linked of. Unlike the metadata, this knows which optional crates are off."""
    tree = cargo("tree", "--locked", "-p", "aelab-cli", "-e", "normal,no-proc-macro", "--target", TARGET, "--prefix", "none", "-f", "{p}")
    return {tuple(line.split()[:2]) for line in tree.splitlines() if line.strip()}


def unsafe_lines(package):
    count = 0
    for path in Path(package["manifest_path"]).parent.glob("src/**/*.rs"):
        for line in path.read_text(errors="replace").splitlines():
            code = line.split("//")[0]
            count += bool(re.search(r"\bunsafe\b(?!_code)", code))
    return count


def main():
    meta = metadata()
    packages = {package["id"]: package for package in meta["packages"]}
    # Edges of what is linked: neither build scripts nor tests; macros run at build time.
    edges = {
        node["id"]: [dep["pkg"] for dep in node["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"])]
        for node in meta["resolve"]["nodes"]
    }
    linked_names = linked_crates()
    is_linked = {key: (package["name"], f"v{package['version']}") in linked_names for key, package in packages.items()}

    def below(start):
        seen, todo = set(), [start]
        while todo:
            current = todo.pop()
            if current not in seen and is_linked[current]:
                seen.add(current)
                todo.extend(edges[current])
        return seen

    (program,) = (key for key, package in packages.items() if package["name"] == "aelab-cli")
    linked = below(program)
    ours = {key for key in linked if packages[key]["source"] is None}
    foreign = linked - ours
    direct = {dep for key in ours for dep in edges[key] if dep in foreign}
    shown = foreign if "--all" in sys.argv[1:] else direct
    print(f"{'crate':<28} {'version':<10} {'licence':<36} {'brings':>6} {'unsafe lines':>12}")
    for key in sorted(shown, key=lambda key: packages[key]["name"]):
        package = packages[key]
        brings = len(below(key) & foreign) - 1
        print(f"{package['name']:<28} {package['version']:<10} {package['license'] or '?':<36} {brings:>6} {unsafe_lines(package):>12}")
    unsafe = {key: unsafe_lines(packages[key]) for key in foreign}
    without = sum(count == 0 for count in unsafe.values())
    print(f"\n{len(foreign)} crates are linked ({len(direct)} direct); {without} have no `unsafe`, the others {sum(unsafe.values())} lines of it")
    print(f"of our own {len(ours)} crates: {', '.join(sorted(packages[key]['name'] for key in ours if unsafe_lines(packages[key]))) or 'none'} use any")
    print(f"licences: {', '.join(sorted({packages[key]['license'] or '?' for key in foreign}))}")


if __name__ == "__main__":
    main()
