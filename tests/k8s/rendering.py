"""A small Kustomize: resources, namespace, labels, images, generated ConfigMaps, merge patches. Enough for our overlays."""

import hashlib
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]
ROOT = Path(__file__).parents[2] / "deploy" / "k8s"
_KNOWN = {"apiVersion", "kind", "namespace", "resources", "labels", "images", "configMapGenerator", "patches"}
_CLUSTER_WIDE = ("Namespace",)


def render(folder: Path) -> list[Manifest]:
    """Return the objects that a kustomization gives."""
    content = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    assert set(content) <= _KNOWN, f"{folder}: this renderer does not know {set(content) - _KNOWN}"
    objects = [found for name in content.get("resources", ()) for found in _resources(folder / name)]
    for generator in content.get("configMapGenerator", ()):
        objects.append(_config_map(folder, generator))
        _rename(objects, generator["name"], objects[-1]["metadata"]["name"])
    for patch in content.get("patches", ()):
        for change in yaml.safe_load_all((folder / patch["path"]).read_text(encoding="utf-8")):
            _patch(objects, change)
    for manifest in objects:
        _dress(manifest, content)
    return objects


def _resources(path: Path) -> list[Manifest]:
    return render(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def _config_map(folder: Path, generator: Manifest) -> Manifest:
    data = {name: (folder / name).read_text(encoding="utf-8") for name in generator["files"]}
    digest = hashlib.sha256(repr(sorted(data.items())).encode()).hexdigest()[:10]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{generator['name']}-{digest}"},
        "data": data,
    }


def _rename(objects: list[Manifest], name: str, new: str) -> None:
    """Let references to a generated ConfigMap follow its name."""
    for manifest in objects:
        for item in walk(manifest):
            for word in ("configMap", "configMapRef", "configMapKeyRef"):
                if isinstance(item.get(word), dict) and item[word].get("name") == name:
                    item[word]["name"] = new


def _patch(objects: list[Manifest], change: Manifest) -> None:
    (target,) = (
        o for o in objects if o["kind"] == change["kind"] and o["metadata"]["name"] == change["metadata"]["name"]
    )
    target |= _merged(target, change)


def _merged(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
    return deepcopy(new)


def _dress(manifest: Manifest, content: Manifest) -> None:
    metadata = manifest["metadata"]
    if "namespace" in content and manifest["kind"] not in _CLUSTER_WIDE:
        metadata["namespace"] = content["namespace"]
    for labels in content.get("labels", ()):
        metadata["labels"] = {**metadata.get("labels", {}), **labels["pairs"]}
    for container in containers(manifest):
        for image in content.get("images", ()):
            if container["image"] == image["name"]:
                container["image"] = f"{image['newName']}:{image['newTag']}"


def walk(value: Any) -> Iterator[Manifest]:
    """Yield every object inside a manifest."""
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from walk(item)
    if isinstance(value, list):
        for item in value:
            yield from walk(item)


def pod(manifest: Manifest) -> Manifest | None:
    """Return the pod's specification of a workload, or None."""
    if manifest["kind"] not in ("Deployment", "StatefulSet", "Job"):
        return None
    found: Manifest = manifest["spec"]["template"]["spec"]
    return found


def containers(manifest: Manifest) -> list[Manifest]:
    """Return all containers of a workload."""
    spec = pod(manifest)
    return [] if spec is None else [*spec.get("initContainers", []), *spec["containers"]]
