//! Where no picture on the public internet can be: every row of IANA's special-purpose address registries, and multicast.
//!
//! Source: <https://www.iana.org/assignments/iana-ipv4-special-registry> and `iana-ipv6-special-registry`, as of 2025-10-09,
//! with the registries' own names. Rows the registry calls globally reachable (anycast services, AS112 and AMT relays) are
//! refused too: whatever answers there is a piece of network equipment, and at times the nearest router.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// A network and what it is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<Net> {
    pub(super) network: Net,
    pub(super) name: &'static str,
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8, name: &'static str) -> Row<Ipv4Net> {
    Row { network: Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix), name }
}

/// The first four groups suffice for every prefix up to /64; longer ones give their last group too.
const fn v6(groups: [u16; 4], last: u16, prefix: u8, name: &'static str) -> Row<Ipv6Net> {
    let [a, b, c, d] = groups;
    Row { network: Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, last), prefix), name }
}

/// Of the rows that hold an address, the first gives the name: the narrower ones come first.
pub(super) const IPV4: &[Row<Ipv4Net>] = &[
    v4(0, 0, 0, 0, 32, "This host on this network"),
    v4(0, 0, 0, 0, 8, "This network"),
    v4(10, 0, 0, 0, 8, "Private-Use"),
    v4(100, 64, 0, 0, 10, "Shared Address Space"),
    v4(127, 0, 0, 0, 8, "Loopback"),
    v4(169, 254, 0, 0, 16, "Link Local"),
    v4(172, 16, 0, 0, 12, "Private-Use"),
    v4(192, 0, 0, 0, 29, "IPv4 Service Continuity Prefix"),
    v4(192, 0, 0, 8, 32, "IPv4 dummy address"),
    v4(192, 0, 0, 9, 32, "Port Control Protocol Anycast"),
    v4(192, 0, 0, 10, 32, "Traversal Using Relays around NAT Anycast"),
    v4(192, 0, 0, 170, 31, "NAT64/DNS64 Discovery"),
    v4(192, 0, 0, 0, 24, "IETF Protocol Assignments"),
    v4(192, 0, 2, 0, 24, "Documentation (TEST-NET-1)"),
    v4(192, 31, 196, 0, 24, "AS112-v4"),
    v4(192, 52, 193, 0, 24, "AMT"),
    v4(192, 88, 99, 0, 24, "Deprecated (6to4 Relay Anycast)"),
    v4(192, 168, 0, 0, 16, "Private-Use"),
    v4(192, 175, 48, 0, 24, "Direct Delegation AS112 Service"),
    v4(198, 18, 0, 0, 15, "Benchmarking"),
    v4(198, 51, 100, 0, 24, "Documentation (TEST-NET-2)"),
    v4(203, 0, 113, 0, 24, "Documentation (TEST-NET-3)"),
    v4(224, 0, 0, 0, 4, "Multicast"),
    v4(255, 255, 255, 255, 32, "Limited Broadcast"),
    v4(240, 0, 0, 0, 4, "Reserved"),
];

/// As [`IPV4`]. The forms that carry an IPv4 address and reach it (mapped, NAT64) are judged by that one before.
pub(super) const IPV6: &[Row<Ipv6Net>] = &[
    v6([0, 0, 0, 0], 0, 128, "Unspecified Address"),
    v6([0, 0, 0, 0], 1, 128, "Loopback Address"),
    v6([0x64, 0xff9b, 1, 0], 0, 48, "IPv4-IPv6 Translat. (local use)"),
    v6([0x100, 0, 0, 0], 0, 64, "Discard-Only Address Block"),
    v6([0x100, 0, 0, 1], 0, 64, "Dummy IPv6 Prefix"),
    v6([0x2001, 0, 0, 0], 0, 32, "TEREDO"),
    v6([0x2001, 1, 0, 0], 1, 128, "Port Control Protocol Anycast"),
    v6([0x2001, 1, 0, 0], 2, 128, "Traversal Using Relays around NAT Anycast"),
    v6([0x2001, 1, 0, 0], 3, 128, "DNS-SD Service Registration Protocol Anycast"),
    v6([0x2001, 2, 0, 0], 0, 48, "Benchmarking"),
    v6([0x2001, 3, 0, 0], 0, 32, "AMT"),
    v6([0x2001, 4, 0x112, 0], 0, 48, "AS112-v6"),
    v6([0x2001, 0x10, 0, 0], 0, 28, "Deprecated (previously ORCHID)"),
    v6([0x2001, 0x20, 0, 0], 0, 28, "ORCHIDv2"),
    v6([0x2001, 0x30, 0, 0], 0, 28, "Drone Remote ID Protocol Entity Tags (DETs) Prefix"),
    v6([0x2001, 0, 0, 0], 0, 23, "IETF Protocol Assignments"),
    v6([0x2001, 0xdb8, 0, 0], 0, 32, "Documentation"),
    v6([0x2002, 0, 0, 0], 0, 16, "6to4"),
    v6([0x2620, 0x4f, 0x8000, 0], 0, 48, "Direct Delegation AS112 Service"),
    v6([0x3fff, 0, 0, 0], 0, 20, "Documentation"),
    v6([0x5f00, 0, 0, 0], 0, 16, "Segment Routing (SRv6) SIDs"),
    v6([0xfc00, 0, 0, 0], 0, 7, "Unique-Local"),
    v6([0xfe80, 0, 0, 0], 0, 10, "Link-Local Unicast"),
    v6([0xfec0, 0, 0, 0], 0, 10, "Deprecated (previously Site-Local)"),
    v6([0xff00, 0, 0, 0], 0, 8, "Multicast"),
];

/// The only part of IPv6 that is assigned to the internet; what lies outside is refused even without a row.
pub(super) const IPV6_GLOBAL: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
