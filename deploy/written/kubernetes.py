"""Kubernetes: a kustomize base. Servers, the image's registry and names are an overlay's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deploy.written.hosts import HEAD
from deploy.written.sizes import SIZES, secrets_of
from deploy.written.yaml import document, documents
from workers.flower import DEFAULT_PORT
from workers.roles import ROLES

Manifest = Mapping[str, Any]

IMAGE = "tradefleet"
METRICS_PORT = 9540
USER = 10001
SECRETS = "/run/secrets/fleet"
_HEAD = f"# {HEAD}\n"
_FLOWER_READY = "/healthcheck"

TRIGGERS: Mapping[str, tuple[str, str]] = {
    # Lag that one node works off in a few seconds.
    "streams": ("sum(max by (stream, partition) (fleet_lag_events))", "20000"),
    "laravel": ('sum(max by (queue) (fleet_laravel_queue_jobs{state="ready"}))', "500"),
}
"""Role -> what Prometheus is asked, and how much of it one node may have. The fleet's own figures
say what waits; a CPU that is busy says nothing.
"""


def files() -> Mapping[str, str]:
    """Path below deploy/kubernetes -> text."""
    found = dict[str, str]()
    for folder, parts in manifests().items():
        for name, rows in parts.items():
            found[f"{folder}/{name}"] = documents(rows, _HEAD)
        found[f"{folder}/kustomization.yaml"] = _HEAD + document(_kustomization(sorted(parts)))
    return found


def manifests() -> Mapping[str, Mapping[str, Sequence[Manifest]]]:
    """Folder -> file -> what stands in it. The folders are applied in this order; the second is
    waited for.
    """
    return {
        "settings": {"settings.yaml": [_account(), _settings(), *_policies()]},
        "migrate": {"migrate.yaml": [_migrate()]},
        "base": {
            "roles.yaml": [_deployment(name) for name in ROLES],
            "disruption.yaml": [_budget(name) for name in ROLES if SIZES[name].nodes > 1],
            "scaling.yaml": [_scaling(name) for name in TRIGGERS],
        },
    }


def _kustomization(resources: list[str]) -> Manifest:
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "labels": [{"pairs": {"app.kubernetes.io/part-of": "tradefleet"}}],
        "resources": resources,
    }


def _labels(role: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": "tradefleet", "app.kubernetes.io/component": role}


def _named(role: str) -> dict[str, Any]:
    return {"name": f"tradefleet-{role}", "labels": _labels(role)}


def _account() -> Manifest:
    return {
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "tradefleet"},
        "automountServiceAccountToken": False,
    }  # fmt: skip


def _settings() -> Manifest:
    """What an overlay replaces: addresses of the servers, in Laravel's own names."""
    data = {
        "APP_NAME": "Laravel", "DB_HOST": "mysql", "DB_DATABASE": "laravel",
        "DB_USERNAME": "fleet", "FLEET_DB_DATABASE": "fleet", "REDIS_HOST": "redis",
    }  # fmt: skip
    metadata = {"name": "tradefleet-settings"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _deployment(role: str) -> Manifest:
    size = SIZES[role]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _named(role),
        "spec": {
            "replicas": size.nodes,
            "selector": {"matchLabels": _labels(role)},
            # The new one first: roles share their work, or wait for one another.
            "strategy": {
                "type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
            },
            "template": {"metadata": _pod_metadata(role), "spec": _pod(role)},
        },
    }  # fmt: skip


def _pod_metadata(role: str) -> Manifest:
    found: dict[str, Any] = {"labels": _labels(role)}
    if role != "flower":
        found["annotations"] = {
            "prometheus.io/scrape": "true", "prometheus.io/port": str(METRICS_PORT),
        }  # fmt: skip
    return found


def _pod(role: str) -> Manifest:
    drain = ROLES[role].drain_seconds if role in ROLES else 30
    spread = {
        "maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": _labels(role)},
    }  # fmt: skip
    return {
        "serviceAccountName": "tradefleet",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": drain,
        "topologySpreadConstraints": [spread],
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(role)],
        "volumes": [
            {"name": "tmp", "emptyDir": {}},
            {"name": "secrets", "secret": {
                "secretName": "tradefleet", "defaultMode": 0o440,
                "items": [{"key": name, "path": name} for name in secrets_of(role)],
            }},
        ],
    }  # fmt: skip


def _container(role: str) -> Manifest:
    is_role = role in ROLES
    found: dict[str, Any] = {
        "name": role,
        "image": IMAGE,
        "args": [role],
        "envFrom": [{"configMapRef": {"name": "tradefleet-settings"}}],
        "env": _environment(role),
        "securityContext": {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - in the container
            {"name": "secrets", "mountPath": SECRETS, "readOnly": True},
        ],
    }  # fmt: skip
    if is_role:
        size = SIZES[role]
        memory = f"{size.memory}Mi"
        requests = {"cpu": size.cpu, "memory": memory}
        found |= {"resources": {"requests": requests, "limits": {"memory": memory}}}
        found |= _probes(role)
    return found


def _environment(role: str) -> list[Manifest]:
    found: list[Manifest] = [
        {"name": f"{name}_FILE", "value": f"{SECRETS}/{name}"} for name in secrets_of(role)
    ]
    if role == "flower":
        # Flower reads it from its environment only.
        key = {"name": "tradefleet", "key": "FLEET_FLOWER_AUTH"}
        found.append({"name": "FLEET_FLOWER_AUTH", "valueFrom": {"secretKeyRef": key}})
    elif role in ROLES:
        # Kubernetes asks the probes from outside the pod; network.yaml says who else may.
        found.append({"name": "FLEET_METRICS_HOST", "value": "0.0.0.0"})  # noqa: S104
    return found


def _probes(role: str) -> Manifest:
    if ROLES[role].ready == "flower":
        # Flower listens on the pod's own loopback: kubectl port-forward reaches it.
        url = f"http://127.0.0.1:{DEFAULT_PORT}{_FLOWER_READY}"
        code = f"import urllib.request; urllib.request.urlopen({url!r}, timeout=3)"
        asked: Manifest = {"exec": {"command": ["python", "-c", code]}}
        return {
            "ports": [{"name": "flower", "containerPort": DEFAULT_PORT}],
            "readinessProbe": {**asked, "periodSeconds": 30, "timeoutSeconds": 5},
            "livenessProbe": {**asked, "periodSeconds": 60, "timeoutSeconds": 5,
                              "initialDelaySeconds": 60, "failureThreshold": 3},
        }  # fmt: skip

    def asks(path: str, **more: int) -> Manifest:
        return {"httpGet": {"path": path, "port": "metrics"}, "timeoutSeconds": 3, **more}

    return {
        "ports": [{"name": "metrics", "containerPort": METRICS_PORT}],
        # Up to two minutes until MySQL and Redis answer for the first time.
        "startupProbe": asks("/live", periodSeconds=2, failureThreshold=60),
        "readinessProbe": asks("/ready", periodSeconds=5, failureThreshold=2),
        "livenessProbe": asks("/live", periodSeconds=10, failureThreshold=3),
    }


def _budget(role: str) -> Manifest:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _named(role),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": _labels(role)}},
    }


def _scaling(role: str) -> Manifest:
    query, threshold = TRIGGERS[role]
    size = SIZES[role]
    trigger = {
        "type": "prometheus",
        "metadata": {
            # An overlay names its own Prometheus.
            "serverAddress": "http://prometheus.monitoring:9090",
            "query": query, "threshold": threshold, "ignoreNullValues": "false",
        },
    }  # fmt: skip
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": _named(role),
        "spec": {
            "scaleTargetRef": {"name": f"tradefleet-{role}"},
            "minReplicaCount": size.nodes,
            "maxReplicaCount": size.most,
            "pollingInterval": 15,
            # Every change of their number moves partitions: down slowly.
            "cooldownPeriod": 300,
            # Nobody knows the lag: as many as there are, rather than none.
            "fallback": {"failureThreshold": 4, "replicas": size.nodes},
            "triggers": [trigger],
        },
    }


def _policies() -> list[Manifest]:
    ours = {"matchLabels": {"app.kubernetes.io/name": "tradefleet"}}
    prometheus = {"namespaceSelector": {
        "matchLabels": {"kubernetes.io/metadata.name": "monitoring"},
    }}  # fmt: skip
    may = {"from": [prometheus], "ports": [{"protocol": "TCP", "port": METRICS_PORT}]}
    return [
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "tradefleet"},
            # In: Prometheus alone. Out: MySQL, Redis, TimescaleDB and exchanges, wherever they are.
            "spec": {"podSelector": ours, "policyTypes": ["Ingress"], "ingress": [may]},
        }
    ]


def _migrate() -> Manifest:
    pod = {**_pod("migrate"), "restartPolicy": "Never"}
    del pod["topologySpreadConstraints"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _named("migrate"),
        "spec": {
            "backoffLimit": 3,
            "ttlSecondsAfterFinished": 86_400,
            "template": {"metadata": {"labels": _labels("migrate")}, "spec": pod},
        },
    }
