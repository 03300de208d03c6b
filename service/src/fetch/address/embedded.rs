//! The IPv4 addresses that an IPv6 address carries. Pure.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::Ipv6Net;

/// The IPv4 address to which a translator with this prefix sends what it gets for `address`; `None` if it is not its prefix.
/// The prefix is 32, 40, 48, 56, 64 or 96 bits long; mapped addresses are laid out as the last of these.
///
/// Source: RFC 6052, section 2.2. What stands behind the IPv4 address says nothing, since translators ignore it.
pub(super) fn by_prefix(prefix: &Ipv6Net, address: Ipv6Addr) -> Option<Ipv4Addr> {
    if !prefix.contains(&address) {
        return None;
    }
    // It follows the prefix, but for the octet of bits 64 to 71, which is kept free.
    let octets = address.octets();
    let behind = octets.iter().enumerate().skip(usize::from(prefix.prefix_len() / 8)).filter(|(index, _)| *index != 8);
    let mut inner = [0; 4];
    for (to, (_, from)) in inner.iter_mut().zip(behind) {
        *to = *from;
    }
    Some(inner.into())
}

/// The ends of tunnels in `address`, as far as there are any. Whoever is at the other side of a tunnel is not known; who is
/// not public in plain form is not public there either.
pub(super) fn tunnelled(address: Ipv6Addr) -> [Option<Ipv4Addr>; 3] {
    let groups = address.segments();
    let [first, second] = match groups {
        // RFC 4291: compatible, but for the unspecified and the loopback address, which have rows of their own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None, None],
        // The same, and RFC 2765: translated.
        [0, 0, 0, 0, 0, 0, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => [Some(ipv4_of(high, low)), None],
        // RFC 3056: 6to4.
        [0x2002, high, low, ..] => [Some(ipv4_of(high, low)), None],
        // RFC 4380: Teredo's server, and its client with every bit turned over; in its own prefix and in the one of old.
        [0x2001, 0, high, low, _, _, client_high, client_low]
        | [0x3ffe, 0x831f, high, low, _, _, client_high, client_low] => {
            [Some(ipv4_of(high, low)), Some(ipv4_of(!client_high, !client_low))]
        }
        _ => [None, None],
    };
    // RFC 5214: ISATAP, under any prefix, whatever the bits that tell unique from local and group from individual.
    let by_interface = match groups {
        [.., 0 | 0x100 | 0x200 | 0x300, 0x5efe, high, low] => Some(ipv4_of(high, low)),
        _ => None,
    };
    [first, second, by_interface]
}

fn ipv4_of(high: u16, low: u16) -> Ipv4Addr {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Ipv4Addr::new(a, b, c, d)
}
