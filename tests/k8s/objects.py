"""What the Kubernetes base and the example overlay render to."""

from tests.k8s.rendering import ROOT, Manifest, pod, render

BASE, EXAMPLE = render(ROOT / "base"), render(ROOT / "overlays" / "example")
WORKLOADS = [manifest for manifest in EXAMPLE if pod(manifest) is not None]
NAMES = [manifest["metadata"]["name"] for manifest in WORKLOADS]
KEEP_SECRETS = {"auth", "catalog", "audit"}


def named(kind: str, name: str, objects: list[Manifest] | None = None) -> Manifest:
    """Return the one object of a kind and name."""
    (found,) = (o for o in objects or EXAMPLE if o["kind"] == kind and o["metadata"]["name"] == name)
    return found


def of_kind(kind: str) -> list[Manifest]:
    """Return all objects of a kind."""
    return [manifest for manifest in EXAMPLE if manifest["kind"] == kind]
