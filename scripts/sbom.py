# SPDX-License-Identifier: Apache-2.0
"""Writes what each program is made of, as CycloneDX: OUTPUT/PROGRAM.cdx.json.

Usage: sbom.py OUTPUT

All crates that a program is built from, with the features that `make release` builds it with; of the explorer, all
packages of npm that its pages are built from. Needs sbom.txt's packages, and npm 10.
"""

import json
import re
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

# The crate of each, and the workspace that it is of.
PROGRAMS = {
    "tfgrid-node": ("tfgrid-node", "Cargo.toml"),
    "zos-agent": ("zos-agent", "Cargo.toml"),
    "threebot": ("threebot", "Cargo.toml"),
    "tfgrid-dev": ("tfgrid-tests", "Cargo.toml"),
    "zos-init": ("zos-init", "zos-init/Cargo.toml"),
}
APPLICATIONS = {crate for crate, _ in PROGRAMS.values()}
# Depth, name, version, licence and repository. After the version comes a folder or a kind, at the end a mark.
LINE = re.compile(r"(\d+) (\S+) v([^\s|]+)[^|]*\|([^|]*)\|(\S*)")
ROOT = Path(__file__).parent.parent


def said(*command, folder=ROOT):
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


def crates(manifest):
    """Lines of all crates by names and versions, and the crates that each is built from."""
    command = ["cargo", "tree", "--manifest-path", manifest, "--workspace", "--edges", "normal,build"]
    # Other workspaces have a copy of the lock file, with more than they need.
    command += ["--locked"] if manifest == "Cargo.toml" else []
    tree = said(*command, "--prefix", "depth", "--target", "x86_64-unknown-linux-gnu", "--format", " {p}|{l}|{r}")
    lines, needs, above = {}, {}, []
    for line in filter(None, tree.splitlines()):
        if not (found := LINE.match(line)):
            sys.exit(f"sbom: cargo tree says {line!r}, which this script doesn't understand")
        depth, name, version, *rest = found.groups()
        crate = name, version
        lines[crate] = rest
        needs.setdefault(crate, set())
        del above[int(depth) :]
        if above:
            needs[above[-1]].add(crate)
        above.append(crate)
    return lines, needs


def component(crate, licence, repository, checksum):
    name, version = crate
    # Older crates write a slash for OR.
    licence = re.sub(r"\s*/\s*", " OR ", licence)
    reference = ExternalReference(type=ExternalReferenceType.VCS, url=XsUri(repository))
    return Component(
        type=ComponentType.APPLICATION if name in APPLICATIONS else ComponentType.LIBRARY,
        name=name,
        version=version,
        bom_ref=f"{name}@{version}",
        # What has no checksum is of this repository.
        purl=PackageURL("cargo", name=name, version=version) if checksum else None,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=checksum)] if checksum else [],
        licenses=[LicenseFactory().make_from_string(licence)] if licence else [],
        external_references=[reference] if repository else [],
    )


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: sbom.py OUTPUT")
    output = Path(sys.argv[1])
    output.mkdir(parents=True, exist_ok=True)
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    checksums = {(crate["name"], crate["version"]): crate.get("checksum") for crate in locked}
    commit, seconds = said("git", "log", "-1", "--format=%H %ct").split()
    time = datetime.fromtimestamp(int(seconds), UTC)
    trees = {manifest: crates(manifest) for manifest in {manifest for _, manifest in PROGRAMS.values()}}
    for program, (name, manifest) in PROGRAMS.items():
        lines, needs = trees[manifest]
        components = {crate: component(crate, *rest, checksums.get(crate)) for crate, rest in lines.items()}
        root = next(crate for crate in components if crate[0] == name)
        found, new = set(), {root}
        while new:
            found |= new
            new = set().union(*(needs[crate] for crate in new)) - found
        bom = Bom(
            serial_number=uuid5(NAMESPACE_URL, f"{commit}/{program}"),
            components=[components[crate] for crate in found - {root}],
        )
        bom.metadata.timestamp = time
        bom.metadata.component = components[root]
        for crate in found:
            bom.register_dependency(components[crate], [components[need] for need in needs[crate]])
        text = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)
        (output / f"{program}.cdx.json").write_text(text + "\n")
        print(f"{program}: {len(found) - 1} crates")

    command = ["npm", "sbom", "--sbom-format", "cyclonedx", "--package-lock-only", "--omit", "dev"]
    bom = json.loads(said(*command, folder=ROOT / "explorer"))
    # npm's are those of this moment.
    bom["serialNumber"] = uuid5(NAMESPACE_URL, f"{commit}/tfgrid-explorer").urn
    bom["metadata"]["timestamp"] = time.isoformat()
    (output / "tfgrid-explorer.cdx.json").write_text(json.dumps(bom, indent=2) + "\n")
    print(f"tfgrid-explorer: {len(bom['components'])} packages")


main()
