"""A small Kustomize: resources, components, namespace, labels, images, ConfigMaps, merge patches. Enough for our overlays."""

import hashlib
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]
ROOT = Path(__file__).parents[2] / "deploy" / "k8s"
_KNOWN = {
    *("apiVersion", "kind", "namespace", "resources", "components", "labels", "images", "configMapGenerator"),
    "patches",
}
_CLUSTER_WIDE = ("Namespace",)


def render(folder: Path) -> list[Manifest]:
    """Return the objects that a kustomization gives."""
    content = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    assert set(content) <= _KNOWN, f"{folder}: this renderer does not know {set(content) - _KNOWN}"
    objects = [found for name in content.get("resources", ()) for found in _resources(folder / name)]
    for generator in content.get("configMapGenerator", ()):
        objects.append(_config_map(folder, generator))
        _rename(objects, generator["name"], objects[-1]["metadata"]["name"])
    _apply(folder, content, objects)
    for manifest in objects:
        _dress(manifest, content)
    return objects


def _apply(folder: Path, content: Manifest, objects: list[Manifest]) -> None:
    """Change objects by a kustomization's components, which change what is there already, and by its patches."""
    for name in content.get("components", ()):
        component = yaml.safe_load((folder / name / "kustomization.yaml").read_text(encoding="utf-8"))
        assert set(component) <= {"apiVersion", "kind", "patches"}, f"{name}: this renderer knows patches only"
        _apply(folder / name, component, objects)
    for patch in content.get("patches", ()):
        for change in yaml.safe_load_all((folder / patch["path"]).read_text(encoding="utf-8")):
            _patch(objects, change)


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
    if _named(old) and _named(new):
        by_name = {item["name"]: item for item in old}
        return list({**by_name, **{item["name"]: _merged(by_name.get(item["name"]), item) for item in new}}.values())
    return deepcopy(new)


def _named(value: Any) -> bool:
    """Say whether a list merges by its items' names, as containers and variables do."""
    return isinstance(value, list) and all(isinstance(item, dict) and "name" in item for item in value)


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
