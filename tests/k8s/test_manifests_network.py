"""Whom pods may speak to, and how many may be away at a time."""

import pytest

from deploy.local.configuration import SERVICES
from tests.k8s.objects import WORKLOADS, named, of_kind
from tests.k8s.rendering import Manifest


def policies(labels: dict[str, str]) -> list[Manifest]:
    """Return the network policies that select a pod with these labels."""
    return [policy for policy in of_kind("NetworkPolicy") if _selects(policy["spec"]["podSelector"], labels)]


def _selects(selector: Manifest, labels: dict[str, str]) -> bool:
    plain = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    listed = all(labels.get(e["key"]) in e["values"] for e in selector.get("matchExpressions", ()))
    return plain and listed


def labels_of(name: str) -> dict[str, str]:
    """Return the labels of a workload's pods."""
    (workload,) = (w for w in WORKLOADS if w["metadata"]["name"] == name)
    found: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return found


def flows(name: str, direction: str) -> set[tuple[str, int]]:
    """Return to (or from) whom a workload's pods may speak: peer and port."""
    found = set()
    for policy in policies(labels_of(name)):
        for rule in policy["spec"].get(direction, ()):
            peers = rule["to" if direction == "egress" else "from"]
            found |= {(_peer(peer), port["port"]) for peer in peers for port in rule["ports"]}
    return found


def _peer(peer: Manifest) -> str:
    if "ipBlock" in peer:
        return str(peer["ipBlock"]["cidr"])
    selector = peer.get("namespaceSelector", peer.get("podSelector"))
    named_so = list(selector.get("matchLabels", {}).values())
    return "+".join(named_so or [value for e in selector["matchExpressions"] for value in e["values"]])


def test_nothing_flows_by_default() -> None:
    """One policy selects every pod and allows nothing either way."""
    policy = named("NetworkPolicy", "default-deny")["spec"]
    assert policy == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


_DATABASE, _NAMES = ("192.0.2.10/32", 5432), ("kube-system", 53)
_COMMON = {_DATABASE, _NAMES, ("nats", 4222), ("objects", 443), ("monitoring", 4318)}


@pytest.mark.parametrize("service", SERVICES)
def test_services_speak_to_whom_they_must(service: str) -> None:
    """A service reaches bus, database, objects, traces and names; auth the mail server; runner and auth the outside; none another."""
    outside = {
        "runner": {("0.0.0.0/0", 443), ("0.0.0.0/0", 5432)},
        "auth": {("mail", 465), ("mail", 587), ("0.0.0.0/0", 443)},
    }
    assert flows(service, "egress") == _COMMON | outside.get(service, set())
    assert flows(service, "ingress") == {("gateway+monitoring", 8080)}


@pytest.mark.parametrize("policy", ["runner-outside", "auth-outside"])
def test_the_outside_is_public_only(policy: str) -> None:
    """The ways out exclude private, shared, loopback and link-local ranges: no metadata service, no neighbour."""
    (rule,) = named("NetworkPolicy", policy)["spec"]["egress"]
    (peer,) = rule["to"]
    wanted = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8", "100.64.0.0/10"}
    assert wanted <= set(peer["ipBlock"]["except"])


def test_bus_and_job_speak_to_whom_they_must() -> None:
    """Bus servers speak to each other; the job that prepares speaks to bus and database."""
    assert flows("nats", "egress") == {("nats", 6222), _NAMES}
    assert flows("nats", "ingress") == {("service+job", 4222), ("nats", 6222), ("monitoring", 8222)}
    assert flows("provision", "egress") == {("nats", 4222), _DATABASE, _NAMES}
    assert flows("provision", "ingress") == set()


def test_disruptions_are_limited() -> None:
    """A drain takes one pod of a kind at a time."""
    budgets = {b["metadata"]["name"]: b["spec"] for b in of_kind("PodDisruptionBudget")}
    assert budgets.keys() == {*SERVICES, "nats"}
    for name, budget in budgets.items():
        assert budget["maxUnavailable"] == 1
        assert _selects(budget["selector"], labels_of(name))
