"""Which addresses are public (case S02), from the registries of IANA and not from the code's own table."""

import ipaddress

import pytest

from connectors.sdk.addresses import is_allowed, is_public

SPECIAL = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
    "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "255.255.255.255/32",
    "::/128", "::1/128", "::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64",
    "100:0:0:1::/64", "2001::/23", "2001::/32", "2001:2::/48", "2001:10::/28", "2001:20::/28", "2001:db8::/32",
    "2002::/16", "2620:4f:8000::/48", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
)  # fmt: skip
PUBLIC = (
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
    "169.253.255.255", "172.15.255.255", "172.32.0.0", "192.167.255.255", "198.17.255.255", "198.20.0.0",
    "223.255.255.255", "2001:200::1", "2001:4860:4860::8888", "2606:4700::1111", "2a00:1450::1", "3ffe::1",
)  # fmt: skip


@pytest.mark.parametrize("text", SPECIAL)
def test_s02_no_special_range_is_public(text: str) -> None:
    network = ipaddress.ip_network(text)
    middle = network.network_address + network.num_addresses // 2
    for address in (network.network_address, middle, network.broadcast_address):
        assert not is_public(address), address


@pytest.mark.parametrize("text", PUBLIC)
def test_s02_what_lies_beside_them_is_public(text: str) -> None:
    address = ipaddress.ip_address(text)
    assert is_public(address)
    if address.version == 4:
        for embedded in (f"::ffff:{text}", f"::{text}", f"64:ff9b::{text}"):
            assert not is_public(ipaddress.ip_address(embedded))
            assert not is_allowed(ipaddress.ip_address(embedded), [ipaddress.ip_network("0.0.0.0/0")])
