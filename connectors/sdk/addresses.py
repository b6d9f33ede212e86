"""Which addresses are public: our own table, because Python's `is_global` lets embedded and multicast ones pass.

Source: IANA special-purpose address registries (IPv4 and IPv6), with every form of IPv4 embedded in IPv6.
"""

import ipaddress
from collections.abc import Collection

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_V4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
        "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16",
        "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    )
)  # fmt: skip
# Only 2000::/3 is public; within it these are not, and 2002::/16 and 2001::/32 carry an IPv4 address inside.
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
_V6 = tuple(
    ipaddress.IPv6Network(text)
    for text in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)


def is_public(address: Address) -> bool:
    """Whether an address is on the public internet and none of the special ranges."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _V4)
    return address in _PUBLIC_V6 and not any(address in network for network in _V6)


def is_allowed(address: Address, allow: Collection[Network]) -> bool:
    """Whether the address is in one of the private networks that the operator allows."""
    return any(address.version == network.version and address in network for network in allow)


def literal(host: str) -> bool:
    """Whether a host is written as an address, in any of the forms a resolver takes: `127.1`, `0x7f.1`, `[::1]`."""
    name = host.rsplit("@", 1)[-1]
    if name.startswith("[") or ":" in name.rsplit(":", 1)[0]:
        return True
    labels = name.rsplit(":", 1)[0].rstrip(".").split(".")
    return bool(labels) and all(label.isdigit() or label.lower().startswith("0x") for label in labels[-1:])
