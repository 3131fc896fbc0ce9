"""The Kubernetes base and the example overlay render, and keep every pod small, unprivileged and alone."""

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nkeys
import pytest
import yaml

from deploy.k8s import provision
from deploy.local.configuration import SERVICES
from deploy.local.database import roles
from deploy.local.nats import public_key
from deploy.local.processes import binary
from deploy.local.routes import ROUTES
from docs.services import settings
from libs.common.bus.topology import TOPOLOGY
from libs.common.jail import MIB
from libs.common.settings import Settings
from services.validator.jail.broker import room_of
from services.validator.settings import Settings as ValidatorSettings
from tests.k8s.objects import EXAMPLE, KEEP_SECRETS, NAMES, WORKLOADS, named, of_kind
from tests.k8s.rendering import ROOT, Manifest, containers, pod, render, walk


def test_every_file_is_used() -> None:
    """No manifest lies beside the kustomization without being rendered."""
    for folder in (ROOT / "base", ROOT / "overlays" / "example", ROOT / "components" / "gvisor"):
        content = (folder / "kustomization.yaml").read_text(encoding="utf-8")
        assert {p.name for p in folder.iterdir() if p.name != "kustomization.yaml" and p.name not in content} == set()


@pytest.mark.parametrize("folder", ["base", "overlays/example"])
def test_kustomize_renders_the_same(folder: str) -> None:
    """Where kubectl is installed, Kustomize itself gives the same objects as the renderer of these tests."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run(  # noqa: S603
        [kubectl, "kustomize", str(ROOT / folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    theirs = {_identity(o): o for o in yaml.safe_load_all(done.stdout)}
    ours = {_identity(o): o for o in render(ROOT / folder)}
    assert theirs.keys() == ours.keys()
    for key, manifest in theirs.items():
        if key != ("ConfigMap", "nats"):
            assert _unhashed(manifest) == _unhashed(ours[key])


def _identity(manifest: Manifest) -> tuple[str, str]:
    return manifest["kind"], re.sub(r"^nats-[a-z0-9]{10}$", "nats", manifest["metadata"]["name"])


def _unhashed(value: Any) -> Any:
    """Return a value without the hash in the generated ConfigMap's name, which each renderer makes its own way."""
    if isinstance(value, dict):
        return {key: _unhashed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_unhashed(item) for item in value]
    return re.sub(r"^nats-[a-z0-9]{10}$", "nats", value) if isinstance(value, str) else value


def test_no_object_is_named_twice() -> None:
    """Each object has one place."""
    keys = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in EXAMPLE]
    assert len(keys) == len(set(keys))


def test_each_service_has_all_its_objects() -> None:
    """Six services: a Deployment of at least two, a Service, an account, a disruption budget."""
    for service in SERVICES:
        assert named("Deployment", service)["spec"]["replicas"] >= 2
        for kind in ("Service", "ServiceAccount", "PodDisruptionBudget"):
            named(kind, service)


@pytest.mark.parametrize("workload", WORKLOADS, ids=NAMES)
def test_pods_meet_the_restricted_standard(workload: Manifest) -> None:
    """Pod Security Standards, restricted: no root, no privileges, no capability, the default seccomp profile, no host."""
    spec = pod(workload) or {}
    security = spec["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] == security["runAsGroup"] == 65532
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert all(set(volume) - {"name"} <= {"secret", "emptyDir", "configMap", "projected"} for volume in spec["volumes"])
    for container in containers(workload):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert all("hostPort" not in port for port in container.get("ports", []))


@pytest.mark.parametrize("workload", WORKLOADS, ids=NAMES)
def test_pods_hold_no_cluster_credentials(workload: Manifest) -> None:
    """Each workload runs as its own account, and none gets the cluster's token."""
    name = workload["metadata"]["name"]
    spec = pod(workload) or {}
    assert spec["serviceAccountName"] == name
    assert spec["automountServiceAccountToken"] is False
    assert named("ServiceAccount", name)["automountServiceAccountToken"] is False


@pytest.mark.parametrize("workload", WORKLOADS, ids=NAMES)
def test_containers_are_bounded(workload: Manifest) -> None:
    """Every container asks for and is limited in processor, memory and disk; scratch space has a size."""
    for container in containers(workload):
        for word in ("requests", "limits"):
            assert {"cpu", "memory", "ephemeral-storage"} <= container["resources"][word].keys()
    assert all("sizeLimit" in volume["emptyDir"] for volume in (pod(workload) or {})["volumes"] if "emptyDir" in volume)


def test_what_jobs_may_write_fits_into_the_pod() -> None:
    """Every job at its own bound at once leaves room: none of them has the pod evicted."""
    given = {name: field.default for name, field in ValidatorSettings.model_fields.items()}
    judged = given["slots"] * room_of(given["spill_mib"] * MIB)
    made = given["transform_slots"] * given["transform_result_mib"] * MIB * 6
    (scratch,) = [one for one in pod(named("Deployment", "validator"))["volumes"] if one["name"] == "scratch"]  # type: ignore[index]
    size = int(scratch["emptyDir"]["sizeLimit"].removesuffix("Gi")) * 1024 * MIB
    disk = container_of("validator")["resources"]["limits"]["ephemeral-storage"]
    assert judged + made <= size < int(disk.removesuffix("Gi")) * 1024 * MIB


@pytest.mark.parametrize("workload", WORKLOADS, ids=NAMES)
def test_images_have_versions(workload: Manifest) -> None:
    """No image floats: each has a tag that is not `latest`, or a digest."""
    for container in containers(workload):
        _, _, version = container["image"].rpartition("@" if "@" in container["image"] else ":")
        assert version
        assert version != "latest"
        assert "/" not in version


def container_of(service: str) -> Manifest:
    """Return the container of a pod that is the service itself."""
    (found,) = (each for each in containers(named("Deployment", service)) if each["name"] == service)
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_services_are_probed(service: str) -> None:
    """Alive and ready are two questions; starting has its own patience."""
    container = container_of(service)
    asked = {
        probe: container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert asked == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}


def test_the_bus_is_not_killed_while_it_catches_up() -> None:
    """Liveness of NATS asks only whether JetStream is enabled: plain /healthz fails while a server catches up."""
    (container,) = containers(named("StatefulSet", "nats"))
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz?js-enabled-only=true"
    assert container["readinessProbe"]["httpGet"]["path"] == "/healthz?js-server-only=true"


def environment(service: str) -> dict[str, Any]:
    """Return a service's variables: name → literal value, or where it comes from."""
    container = container_of(service)
    shared = dict(named("ConfigMap", "regent")["data"])
    return shared | {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}


def test_the_jail_is_given_nothing() -> None:
    """S7: the container that runs tenants' code has the socket's directory, and no variable, secret, port or other volume."""
    deployment = named("Deployment", "validator")
    jail, broker = (each for each in sorted(containers(deployment), key=lambda each: each["name"]))
    assert (jail["name"], broker["name"]) == ("jail", "validator")
    assert not {"env", "envFrom", "ports", "lifecycle"} & jail.keys()
    (mount,) = jail["volumeMounts"]
    assert mount in broker["volumeMounts"]
    assert environment("validator")["REGENT_JAIL"].startswith(f"{mount['mountPath']}/")
    assert jail["command"][-1] == environment("validator")["REGENT_JAIL"]
    assert jail["image"] == broker["image"]
    assert {"shareProcessNamespace", "hostPID", "hostIPC"}.isdisjoint(pod(deployment) or {})
    assert (pod(deployment) or {})["enableServiceLinks"] is False


@pytest.mark.parametrize("service", SERVICES)
def test_every_variable_is_a_setting(service: str) -> None:
    """Each variable that a pod gets exists in the service's settings, and each setting without a default is given."""
    fields = settings(service).model_fields
    given = [_fields(name, fields) for name in environment(service)]
    assert all(given)
    assert {name for name, field in fields.items() if field.is_required()} <= set().union(*given)


def _fields(variable: str, fields: Iterable[str]) -> set[str]:
    names = {f"REGENT_{name.upper()}": name for name in fields}
    return {names[name] for name in (variable, variable.removesuffix("_FILE")) if name in names}


@pytest.mark.parametrize("service", SERVICES)
def test_the_settings_load(service: str, tmp_path: Path) -> None:
    """What a pod is given makes valid settings, its secrets read from files."""
    values = {}
    for name, value in environment(service).items():
        if str(value).startswith("/run/secrets/"):
            file = tmp_path / Path(str(value)).name
            file.write_text("postgresql://u:p@h/d")
            value = str(file)  # noqa: PLW2901 - the same variable, elsewhere
        values[name] = (
            value
            if isinstance(value, str)
            else named("ConfigMap", value["configMapKeyRef"]["name"])["data"][value["configMapKeyRef"]["key"]]
        )
    assert isinstance(settings(service).load(values), Settings)


@pytest.mark.parametrize("service", SERVICES)
def test_key_rings_go_to_keepers_of_secrets_only(service: str) -> None:
    """S8: auth, catalog and audit get a ring; a pod that keeps no secrets is handed none, for it would refuse to start."""
    assert ("REGENT_KEYRING_FILE" in environment(service)) == (service in KEEP_SECRETS)


@pytest.mark.parametrize("service", SERVICES)
def test_a_pod_gets_its_own_credentials_only(service: str) -> None:
    """A pod mounts its own Secret and reads its own object store credentials, never another's."""
    mentioned = {item["secretName"] for item in walk(named("Deployment", service)) if "secretName" in item}
    mentioned |= {item["secretRef"]["name"] for item in walk(named("Deployment", service)) if "secretRef" in item}
    assert mentioned == {f"regent-{service}", f"regent-objects-{service}"}


def test_no_secret_is_in_the_repository() -> None:
    """Secrets are referred to, never written here."""
    assert of_kind("Secret") == []


def test_references_lead_to_objects() -> None:
    """Each ConfigMap and Service that is referred to exists; patches change what is there."""
    maps = {manifest["metadata"]["name"] for manifest in of_kind("ConfigMap")}
    for manifest in EXAMPLE:
        for item in walk(manifest):
            for word in ("configMapRef", "configMapKeyRef", "configMap"):
                if isinstance(item.get(word), dict):
                    assert item[word]["name"] in maps
    for rule in named("HTTPRoute", "regent")["spec"]["rules"]:
        for backend in rule["backendRefs"]:
            named("Service", backend["name"])


def test_the_gateway_routes_as_on_one_machine() -> None:
    """The HTTPRoute is the local gateway's table, in the same order."""
    rules = named("HTTPRoute", "regent")["spec"]["rules"]
    table = [(rule["backendRefs"][0]["name"], [match["path"]["value"] for match in rule["matches"]]) for rule in rules]
    assert table == [(route.service, [*route.prefixes, *route.patterns]) for route in ROUTES]
    assert all(backend["port"] == 8080 for rule in rules for backend in rule["backendRefs"])


def test_the_gateway_keeps_to_the_apis_limits() -> None:
    """Gateway API takes at most 16 rules of at most 64 matches."""
    rules = named("HTTPRoute", "regent")["spec"]["rules"]
    assert len(rules) <= 16
    assert all(len(rule["matches"]) <= 64 for rule in rules)


def test_the_bus_server_takes_its_configuration(tmp_path: Path) -> None:
    """nats-server itself accepts nats.conf with the accounts that the job's module prints: six services, apart."""
    keys = tmp_path / "keys"
    keys.mkdir()
    for number, user in enumerate(TOPOLOGY.users):
        (keys / f"{user}.pub").write_text(public_key(_seed(number)))
    (tmp_path / "accounts.conf").write_text(provision.account_section(keys))
    (tmp_path / "nats.conf").write_text(
        (ROOT / "base" / "nats.conf").read_text().replace("/data", str(tmp_path / "data"))
    )
    done = subprocess.run(  # noqa: S603
        [str(binary("nats-server")), "-t", "-c", str(tmp_path / "nats.conf")],
        env={"POD_NAME": "nats-0"}, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def _seed(number: int) -> str:
    return nkeys.encode_seed(bytes([number]) * 32, nkeys.PREFIX_BYTE_USER).decode()


def test_the_job_names_what_is_missing(tmp_path: Path) -> None:
    """Without a role's password the job says which, and changes nothing."""
    for service in SERVICES:
        for role in roles(service):
            (tmp_path / role).write_text("x")
    (tmp_path / "runner_owner").unlink()
    with pytest.raises(SystemExit, match="runner_owner"):
        provision.Provisioning.load(
            {"REGENT_PASSWORDS": str(tmp_path), "REGENT_ADMIN_DATABASE_URL": "postgresql://h/d"}
        )
