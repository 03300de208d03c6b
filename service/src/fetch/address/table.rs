//! Where no picture on the public internet can be: every row of IANA's special-purpose address registries, and multicast.
//!
//! Sources, with the registries' own names and their column "globally reachable": <https://www.iana.org/assignments/>,
//! `iana-ipv4-special-registry` (last updated 2021-02-04) and `iana-ipv6-special-registry` (2024-10-22), both compared row
//! by row with a copy of 2025-03-01; `100:0:0:1::/64` after that, from RFC 9780. What lies beside the registries says where
//! it is from.
//!
//! Every row is refused. Those that the registry calls globally reachable are anycast services, AS112 sinks, AMT relays and
//! identifiers that are no addresses: what answers there is network equipment, and at times the nearest router of ours.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// A network and what it is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<Net> {
    pub(super) network: Net,
    pub(super) name: &'static str,
    pub(super) reach: Reach,
}

/// The registry's column "globally reachable".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// True.
    Global,
    /// False.
    Local,
    /// Empty or "N/A".
    Unstated,
}

use Reach::{Global, Local, Unstated};

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8, reach: Reach, name: &'static str) -> Row<Ipv4Net> {
    Row { network: Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix), name, reach }
}

/// The first four groups suffice for every prefix up to /64; longer ones give their last group too.
const fn v6(groups: [u16; 4], last: u16, prefix: u8, reach: Reach, name: &'static str) -> Row<Ipv6Net> {
    let [a, b, c, d] = groups;
    Row { network: Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, last), prefix), name, reach }
}

/// Of the rows that hold an address, the first gives the name: the narrower ones come first.
pub(super) const IPV4: &[Row<Ipv4Net>] = &[
    v4(0, 0, 0, 0, 32, Local, "This host on this network"),
    v4(0, 0, 0, 0, 8, Local, "This network"),
    v4(10, 0, 0, 0, 8, Local, "Private-Use"),
    v4(100, 64, 0, 0, 10, Local, "Shared Address Space"),
    v4(127, 0, 0, 0, 8, Local, "Loopback"),
    // Not in the registry: where a machine in Azure reaches the host it runs on, public by its number alone.
    v4(168, 63, 129, 16, 32, Local, "Azure WireServer"),
    v4(169, 254, 0, 0, 16, Local, "Link Local"),
    v4(172, 16, 0, 0, 12, Local, "Private-Use"),
    v4(192, 0, 0, 0, 29, Local, "IPv4 Service Continuity Prefix"),
    v4(192, 0, 0, 8, 32, Local, "IPv4 dummy address"),
    v4(192, 0, 0, 9, 32, Global, "Port Control Protocol Anycast"),
    v4(192, 0, 0, 10, 32, Global, "Traversal Using Relays around NAT Anycast"),
    v4(192, 0, 0, 170, 31, Local, "NAT64/DNS64 Discovery"),
    v4(192, 0, 0, 0, 24, Local, "IETF Protocol Assignments"),
    v4(192, 0, 2, 0, 24, Local, "Documentation (TEST-NET-1)"),
    v4(192, 31, 196, 0, 24, Global, "AS112-v4"),
    v4(192, 52, 193, 0, 24, Global, "AMT"),
    v4(192, 88, 99, 0, 24, Unstated, "Deprecated (6to4 Relay Anycast)"),
    v4(192, 168, 0, 0, 16, Local, "Private-Use"),
    v4(192, 175, 48, 0, 24, Global, "Direct Delegation AS112 Service"),
    v4(198, 18, 0, 0, 15, Local, "Benchmarking"),
    v4(198, 51, 100, 0, 24, Local, "Documentation (TEST-NET-2)"),
    v4(203, 0, 113, 0, 24, Local, "Documentation (TEST-NET-3)"),
    // Not in the registry: RFC 5771.
    v4(224, 0, 0, 0, 4, Local, "Multicast"),
    v4(255, 255, 255, 255, 32, Local, "Limited Broadcast"),
    v4(240, 0, 0, 0, 4, Local, "Reserved"),
];

/// As [`IPV4`]. Mapped addresses and those of NAT64 are judged by the IPv4 address they carry, before the table is asked.
pub(super) const IPV6: &[Row<Ipv6Net>] = &[
    v6([0, 0, 0, 0], 0, 128, Local, "Unspecified Address"),
    v6([0, 0, 0, 0], 1, 128, Local, "Loopback Address"),
    Row { network: MAPPED, name: "IPv4-mapped Address", reach: Local },
    Row { network: NAT64, name: "IPv4-IPv6 Translat.", reach: Global },
    Row { network: NAT64_LOCAL_USE, name: "IPv4-IPv6 Translat. (local use)", reach: Local },
    v6([0x100, 0, 0, 0], 0, 64, Local, "Discard-Only Address Block"),
    v6([0x100, 0, 0, 1], 0, 64, Local, "Dummy IPv6 Prefix"),
    v6([0x2001, 0, 0, 0], 0, 32, Unstated, "TEREDO"),
    v6([0x2001, 1, 0, 0], 1, 128, Global, "Port Control Protocol Anycast"),
    v6([0x2001, 1, 0, 0], 2, 128, Global, "Traversal Using Relays around NAT Anycast"),
    v6([0x2001, 1, 0, 0], 3, 128, Global, "DNS-SD Service Registration Protocol Anycast"),
    v6([0x2001, 2, 0, 0], 0, 48, Local, "Benchmarking"),
    v6([0x2001, 3, 0, 0], 0, 32, Global, "AMT"),
    v6([0x2001, 4, 0x112, 0], 0, 48, Global, "AS112-v6"),
    v6([0x2001, 0x10, 0, 0], 0, 28, Unstated, "Deprecated (previously ORCHID)"),
    v6([0x2001, 0x20, 0, 0], 0, 28, Global, "ORCHIDv2"),
    v6([0x2001, 0x30, 0, 0], 0, 28, Global, "Drone Remote ID Protocol Entity Tags (DETs) Prefix"),
    v6([0x2001, 0, 0, 0], 0, 23, Local, "IETF Protocol Assignments"),
    v6([0x2001, 0xdb8, 0, 0], 0, 32, Local, "Documentation"),
    v6([0x2002, 0, 0, 0], 0, 16, Unstated, "6to4"),
    v6([0x2620, 0x4f, 0x8000, 0], 0, 48, Global, "Direct Delegation AS112 Service"),
    // Of the registry ipv6-unicast-address-assignments (2024-11-04), which notes that old systems have Teredo in it.
    v6([0x3ffe, 0, 0, 0], 0, 16, Unstated, "Reserved (previously 6bone)"),
    v6([0x3fff, 0, 0, 0], 0, 20, Local, "Documentation"),
    v6([0x5f00, 0, 0, 0], 0, 16, Local, "Segment Routing (SRv6) SIDs"),
    v6([0xfc00, 0, 0, 0], 0, 7, Local, "Unique-Local"),
    v6([0xfe80, 0, 0, 0], 0, 10, Local, "Link-Local Unicast"),
    // Of the registry ipv6-address-space.
    v6([0xfec0, 0, 0, 0], 0, 10, Local, "Deprecated (previously Site-Local)"),
    v6([0xff00, 0, 0, 0], 0, 8, Local, "Multicast"),
];

/// RFC 4291: the system sends to the IPv4 address instead.
pub(super) const MAPPED: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96);

/// RFC 6052: the well-known prefix, which DNS64 answers with where no other is set up.
pub(super) const NAT64: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// RFC 8215: for translators of one's own. Where in an address the IPv4 address stands, only who set them up knows.
pub(super) const NAT64_LOCAL_USE: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48);

/// "Global Unicast" of the registry `ipv6-address-space` (2024-09-10), the only part of IPv6 that IANA hands out; what lies
/// outside is refused even without a row. Which blocks of it are handed out by now is not looked at: that list grows, and an
/// old copy of it would refuse honest origins.
pub(super) const IPV6_GLOBAL: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
