//! Which addresses may be fetched from: an address -> allowed, or why not. Pure.
//!
//! Only globally routable unicast. IPv6 forms that carry an IPv4 address are judged by that address as well, so that it is
//! judged the same in whatever coat it comes. Networks the operator allows are exceptions to the table, not to that.

mod table;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Why an address may not be fetched from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} is not a public address ({network})")]
pub struct Forbidden {
    /// The address as it was named or answered.
    pub address: IpAddr,
    /// The network it belongs to, by the name of the registry.
    pub network: &'static str,
}

/// Judges `address`; `allowed` are the networks that the operator lets in beyond the public internet.
///
/// # Errors
/// Which network it belongs to that is not the public internet.
pub fn judge(address: IpAddr, allowed: &[IpNet]) -> Result<(), Forbidden> {
    let refuse = |network| Err(Forbidden { address, network });
    let is_allowed = |address: IpAddr| allowed.iter().any(|network| network.contains(&address));
    let judge_ipv4 = |address: Ipv4Addr| match ipv4_row(address) {
        Some(_) if is_allowed(address.into()) => Ok(()),
        Some(name) => refuse(name),
        None => Ok(()),
    };
    match address {
        IpAddr::V4(plain) => judge_ipv4(plain),
        IpAddr::V6(coat) => match embedded(coat) {
            // What is sent there arrives at the IPv4 address, so that one alone decides.
            Embedded::Translated(inner) => judge_ipv4(inner),
            Embedded::Tunnelled(inner) => {
                for inner in inner.into_iter().flatten() {
                    judge_ipv4(inner)?;
                }
                if is_allowed(address) { Ok(()) } else { ipv6_row(coat).map_or(Ok(()), refuse) }
            }
        },
    }
}

fn ipv4_row(address: Ipv4Addr) -> Option<&'static str> {
    table::IPV4.iter().find(|row| row.network.contains(&address)).map(|row| row.name)
}

fn ipv6_row(address: Ipv6Addr) -> Option<&'static str> {
    let named = table::IPV6.iter().find(|row| row.network.contains(&address)).map(|row| row.name);
    named.or_else(|| (!table::IPV6_GLOBAL.contains(&address)).then_some("not Global Unicast"))
}

/// The IPv4 addresses inside an IPv6 address.
enum Embedded {
    /// The system or a translator sends to this one instead.
    Translated(Ipv4Addr),
    /// Ends of tunnels and of a local translator, as far as there are any.
    Tunnelled([Option<Ipv4Addr>; 3]),
}

fn embedded(address: Ipv6Addr) -> Embedded {
    let groups = address.segments();
    let by_prefix = match groups {
        // RFC 4291: mapped. RFC 6052: the well-known prefix of NAT64, as DNS64 answers with it.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            return Embedded::Translated(ipv4_of(high, low));
        }
        // RFC 4291: compatible, but for the unspecified and the loopback address, which have rows of their own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None, None],
        // The same. RFC 8215: local translators. RFC 3056: 6to4.
        [0, 0, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 1, _, _, _, high, low] | [0x2002, high, low, ..] => {
            [Some(ipv4_of(high, low)), None]
        }
        // RFC 4380: Teredo's server, and its client with every bit turned over.
        [0x2001, 0, high, low, _, _, client_high, client_low] => {
            [Some(ipv4_of(high, low)), Some(ipv4_of(!client_high, !client_low))]
        }
        _ => [None, None],
    };
    // RFC 5214: ISATAP, under any prefix; the universal bit tells whether the IPv4 address claims to be unique.
    let by_interface = match groups {
        [.., 0 | 0x200, 0x5efe, high, low] => Some(ipv4_of(high, low)),
        _ => None,
    };
    let [first, second] = by_prefix;
    Embedded::Tunnelled([first, second, by_interface])
}

fn ipv4_of(high: u16, low: u16) -> Ipv4Addr {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests;
