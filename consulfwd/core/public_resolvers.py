"""The well-known public resolvers: whom anybody may ask, and who knows no site's private networks.

Plain data, from what their operators publish. An address alone does not tell: a cloud's resolver
and a site's own IPv6 one have global addresses, too. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from consulfwd.core.access import address_of

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Each address as `ipaddress` writes it.
ADDRESSES = {
    "Google": """
        8.8.8.8 8.8.4.4 2001:4860:4860::8888 2001:4860:4860::8844
        2001:4860:4860::64 2001:4860:4860::6464
    """,
    "Cloudflare": """
        1.1.1.1 1.0.0.1 2606:4700:4700::1111 2606:4700:4700::1001
        1.1.1.2 1.0.0.2 2606:4700:4700::1112 2606:4700:4700::1002
        1.1.1.3 1.0.0.3 2606:4700:4700::1113 2606:4700:4700::1003
        2606:4700:4700::64 2606:4700:4700::6400
    """,
    "Quad9": """
        9.9.9.9 149.112.112.112 2620:fe::fe 2620:fe::9
        9.9.9.10 149.112.112.10 2620:fe::10 2620:fe::fe:10
        9.9.9.11 149.112.112.11 2620:fe::11 2620:fe::fe:11
        9.9.9.12 149.112.112.12 2620:fe::12 2620:fe::fe:12
    """,
    "OpenDNS": """
        208.67.222.222 208.67.220.220 208.67.222.220 208.67.220.222
        208.67.222.123 208.67.220.123
        2620:119:35::35 2620:119:53::53 2620:119:35::123 2620:119:53::123
        2620:0:ccc::2 2620:0:ccd::2
    """,
    "AdGuard": """
        94.140.14.14 94.140.15.15 2a10:50c0::ad1:ff 2a10:50c0::ad2:ff
        94.140.14.15 94.140.15.16 2a10:50c0::bad1:ff 2a10:50c0::bad2:ff
        94.140.14.140 94.140.14.141 2a10:50c0::1:ff 2a10:50c0::2:ff
    """,
    "DNS4EU": """
        86.54.11.1 86.54.11.201 2a13:1001::86:54:11:1 2a13:1001::86:54:11:201
        86.54.11.11 86.54.11.211 2a13:1001::86:54:11:11 2a13:1001::86:54:11:211
        86.54.11.12 86.54.11.212 2a13:1001::86:54:11:12 2a13:1001::86:54:11:212
        86.54.11.13 86.54.11.213 2a13:1001::86:54:11:13 2a13:1001::86:54:11:213
        86.54.11.100 86.54.11.200 2a13:1001::86:54:11:100 2a13:1001::86:54:11:200
    """,
    "CleanBrowsing": """
        185.228.168.9 185.228.169.9 2a0d:2a00:1::2 2a0d:2a00:2::2
        185.228.168.10 185.228.169.11 2a0d:2a00:1::1 2a0d:2a00:2::1
        185.228.168.168 185.228.169.168 2a0d:2a00:1:: 2a0d:2a00:2::
    """,
    "Yandex": """
        77.88.8.8 77.88.8.1 2a02:6b8::feed:ff 2a02:6b8:0:1::feed:ff
        77.88.8.88 77.88.8.2 2a02:6b8::feed:bad 2a02:6b8:0:1::feed:bad
        77.88.8.7 77.88.8.3 2a02:6b8::feed:a11 2a02:6b8:0:1::feed:a11
    """,
    "Lumen (Level 3)": """
        4.2.2.1 4.2.2.2 4.2.2.3 4.2.2.4 4.2.2.5 4.2.2.6 209.244.0.3 209.244.0.4
    """,
    "Verisign, UltraDNS": """
        64.6.64.6 64.6.65.6 2620:74:1b::1:1 2620:74:1c::2:2
        156.154.70.1 156.154.71.1 156.154.70.2 156.154.71.2 156.154.70.3 156.154.71.3
        156.154.70.4 156.154.71.4 156.154.70.5 156.154.71.5
        2610:a1:1018::1 2610:a1:1019::1 2610:a1:1018::2 2610:a1:1019::2
        2610:a1:1018::3 2610:a1:1019::3 2610:a1:1018::4 2610:a1:1019::4
        2610:a1:1018::5 2610:a1:1019::5
    """,
    "DNS.SB": "185.222.222.222 45.11.45.11 2a09:: 2a11::",
    "Hurricane Electric": "74.82.42.42 2001:470:20::2",
    "Comodo": "8.26.56.26 8.20.247.20",
    "Mullvad": """
        194.242.2.2 194.242.2.3 194.242.2.4 194.242.2.5 194.242.2.6 194.242.2.9
        2a07:e340::2 2a07:e340::3 2a07:e340::4 2a07:e340::5 2a07:e340::6 2a07:e340::9
    """,
    "AliDNS": "223.5.5.5 223.6.6.6 2400:3200::1 2400:3200:baba::1",
    "DNSPod": """
        119.29.29.29 119.28.28.28 182.254.116.116 182.254.118.118 1.12.12.12 120.53.53.53
        2402:4e00:: 2402:4e00:1::
    """,
    "114DNS": """
        114.114.114.114 114.114.115.115 114.114.114.119 114.114.115.119
        114.114.114.110 114.114.115.110
    """,
    "Baidu": "180.76.76.76 2400:da00::6666",
    "CNNIC": "1.2.4.8 210.2.4.8",
    "Quad101": "101.101.101.101 101.102.103.104 2001:de4::101 2001:de4::102",
    "CIRA": """
        149.112.121.10 149.112.122.10 2620:10a:80bb::10 2620:10a:80bc::10
        149.112.121.20 149.112.122.20 2620:10a:80bb::20 2620:10a:80bc::20
        149.112.121.30 149.112.122.30 2620:10a:80bb::30 2620:10a:80bc::30
    """,
    "DNS.WATCH": "84.200.69.80 84.200.70.40 2001:1608:10:25::1c04:b12f 2001:1608:10:25::9249:d69b",
    "dns0.eu": """
        193.110.81.0 185.253.5.0 2a0f:fc80:: 2a0f:fc81::
        193.110.81.9 185.253.5.9 2a0f:fc80::9 2a0f:fc81::9
    """,
    "Dyn": "216.146.35.35 216.146.36.36",
    "SafeDNS": "195.46.39.39 195.46.39.40",
    "Freenom": "80.80.80.80 80.80.81.81",
    "UncensoredDNS": "91.239.100.100 89.233.43.71 2001:67c:28a4:: 2a01:3a0:53:53::",
    "CZ.NIC": "193.17.47.1 185.43.135.1 2001:148f:ffff::1 2001:148f:fffe::1",
    "Digitale Gesellschaft": "185.95.218.42 185.95.218.43 2a05:fc84::42 2a05:fc84::43",
    "FDN": "80.67.169.12 80.67.169.40 2001:910:800::12 2001:910:800::40",
}
# Those that give each customer addresses of its own.
NETWORKS = {
    "NextDNS": "45.90.28.0/24 45.90.30.0/24 2a07:a8c0::/32 2a07:a8c1::/32",
    "Control D": "76.76.2.0/24 76.76.10.0/24 2606:1a40::/48 2606:1a40:1::/48",
}
# How an IPv4 address is reached where there is IPv6 only (RFC 6052 section 2.1).
_NAT64 = IPv6Network("64:ff9b::/96")


def is_public(address: str, also: Sequence[Network] = (), never: Sequence[Network] = ()) -> bool:
    """Return whether a resolver at this address is a public one.

    That is who is well known, or in a network of `also`; nobody in one of `never`.
    """
    at = _plain(address_of(address))
    if any(at in network for network in never):
        return False
    if any(at in network for network in also):
        return True
    addresses, networks = _well_known()
    return str(at) in addresses or any(at in network for network in networks)


@cache
def _well_known() -> tuple[frozenset[str], tuple[Network, ...]]:
    addresses = " ".join(ADDRESSES.values()).split()
    networks = " ".join(NETWORKS.values()).split()
    return frozenset(addresses), tuple(map(ip_network, networks))


def _plain(address: Address) -> Address:
    """Return the IPv4 address behind one that is translated."""
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else address
