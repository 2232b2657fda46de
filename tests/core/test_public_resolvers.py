"""Who is a public resolver: the well-known ones, what a site says of others, nobody else."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from consulfwd.core.public_resolvers import ADDRESSES, NETWORKS, is_public

PUBLIC = [
    "8.8.8.8", "1.1.1.3", "9.9.9.10", "208.67.222.123", "4.2.2.2", "2001:4860:4860::8844",
    "2606:4700:4700::1113", "2620:FE::FE", "2a02:6b8::feed:0ff",
    "45.90.28.77", "2a07:a8c0::12:3456",
    # The same over IPv6.
    "::ffff:8.8.8.8", "64:ff9b::808:808",
]  # fmt: skip
# Sites' own, those of clouds, and what is merely beside a public one.
OWN = [
    "127.0.0.1", "127.0.0.53", "::1", "10.0.0.53", "192.168.1.1", "172.16.0.1", "fd00::53",
    "fe80::1%eth0", "100.100.2.136", "169.254.169.253", "168.63.129.16", "2a01:e0a:5::53",
    "8.8.8.9", "4.2.2.7", "9.9.9.8", "45.90.29.1", "2620:fe::1", "::ffff:10.0.0.53",
    "64:ff9b::a00:35",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_well_known(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", OWN)
def test_not_public_for_being_reachable_from_everywhere(address: str) -> None:
    assert not is_public(address)


def test_the_data_are_addresses_as_they_are_compared_each_once() -> None:
    addresses = " ".join(ADDRESSES.values()).split()
    assert [str(ip_address(one)) for one in addresses] == addresses
    assert len(set(addresses)) == len(addresses)
    networks = [ip_network(one) for one in " ".join(NETWORKS.values()).split()]
    assert all(network.is_global for network in networks)
    for one in map(ip_address, addresses):
        assert one.is_global
        assert not any(one in network for network in networks)


def test_a_site_may_name_more_and_fewer() -> None:
    also, never = [ip_network("203.0.113.0/24")], [ip_network("9.9.9.9/32")]
    assert is_public("203.0.113.9", also)
    assert is_public("64:ff9b::cb00:7109", also)
    assert not is_public("203.0.113.9", also, [ip_network("203.0.113.9/32")])
    assert not is_public("9.9.9.9", also, never)
    assert is_public("9.9.9.10", also, never)
