"""What an overlay may add to the base."""

from pathlib import Path

import yaml

from tests.k8s.rendering import ROOT, Manifest, pod, render


def test_the_gvisor_component_moves_the_validator_to_its_kernel(tmp_path: Path) -> None:
    """The pod asks for the runtime class, and both sides of the wall ask for its attestation; nothing else changes."""
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    above = Path(*[".."] * len(overlay.parts[1:]), *ROOT.parts[1:])
    chosen = {"resources": [str(above / "base")], "components": [str(above / "components" / "gvisor")]}
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(chosen))
    changed = {_key(o): o for o in render(overlay)}
    plain = {_key(o): o for o in render(ROOT / "base")}
    key = ("Deployment", "validator")
    assert {name: o for name, o in changed.items() if name != key} == {n: o for n, o in plain.items() if n != key}
    spec = pod(changed[key]) or {}
    service, jail = spec["containers"]
    assert spec["runtimeClassName"] == "gvisor"
    assert {"name": "REGENT_ISOLATION", "value": "runtimeclass"} in service["env"]
    assert jail["command"][-1] == "runtimeclass"
    assert len(service["env"]) == 1 + len((pod(plain[key]) or {})["containers"][0]["env"])


def _key(manifest: Manifest) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]
