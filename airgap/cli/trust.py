"""How clients come to trust a registry's own certificate authority, and to speak without TLS. Pure.

Sources: Docker's "Verify repository client with certificates"; containers-certs.d(5); containerd's
"Registry Configuration" (hosts.toml); k3s's "Private Registry Configuration".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def trust_lines(host: str, authority: Path, fingerprint: str) -> Iterator[str]:
    """Say how each kind of client trusts the authority.

    Args:
        host: Name and port, as references name the registry.
        authority: Where its certificate lies.
        fingerprint: The SHA-256 of the certificate.
    """
    yield f"clients trust this registry by its authority's certificate: {authority}"
    yield f"  SHA-256 {fingerprint}"
    yield "copy it to each client as ca.crt, compare (openssl x509 -in ca.crt -noout -sha256 \
-fingerprint), then:"
    yield f"  docker      install -D -m 644 ca.crt /etc/docker/certs.d/{host}/ca.crt"
    yield f"  podman      install -D -m 644 ca.crt /etc/containers/certs.d/{host}/ca.crt"
    yield f"  containerd  install -D -m 644 ca.crt /etc/containerd/certs.d/{host}/ca.crt"
    yield f"              and write /etc/containerd/certs.d/{host}/hosts.toml:"
    yield f'                server = "https://{host}"'
    yield f'                [host."https://{host}"]'
    yield f'                  ca = "/etc/containerd/certs.d/{host}/ca.crt"'
    yield "              (config_path of its registry plugin names /etc/containerd/certs.d)"
    yield "  k3s         install -D -m 644 ca.crt /etc/rancher/k3s/airgap-ca.crt"
    yield "              and write /etc/rancher/k3s/registries.yaml, then restart k3s:"
    yield "                configs:"
    yield f'                  "{host}":'
    yield "                    tls:"
    yield "                      ca_file: /etc/rancher/k3s/airgap-ca.crt"
    yield f"  curl        curl --cacert ca.crt https://{host}/v2/"
    yield f"  airgap      airgap import bundle FILE --to {host} --ca-file ca.crt"


def plain_lines(host: str) -> Iterator[str]:
    """Say how clients speak to a registry without TLS that is not on their machine."""
    yield "there is no TLS: whoever is on the network can read and change what is sent"
    yield f'  docker      "insecure-registries": ["{host}"] in /etc/docker/daemon.json'
    yield f"  podman      podman pull --tls-verify=false {host}/NAME"
    yield f"  airgap      airgap import bundle FILE --to {host} --plain-http {host}"
