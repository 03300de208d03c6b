//! Which addresses may be fetched from: an address -> allowed, or why not. Pure.
//!
//! Only globally routable unicast. IPv6 forms that carry an IPv4 address are judged by that address as well, so that it is
//! judged the same in whatever coat it comes. Networks the operator allows are exceptions to the table, not to that.

mod embedded;
mod table;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};

use table::{Reach, Row};

/// Why an address may not be fetched from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} {} ({network})", if *.is_reachable { "belongs to network equipment" } else { "is not a public address" })]
pub struct Forbidden {
    /// The address as it was named or answered.
    pub address: IpAddr,
    /// The network it belongs to, by the name of the registry.
    pub network: &'static str,
    /// Whether the registry calls that network globally reachable. We do not go there all the same.
    pub is_reachable: bool,
}

/// What the operator says about the surrounding network. The default: nothing but the public internet.
#[derive(Clone, Debug, Default)]
pub struct Networks {
    /// Networks let in beyond the public internet.
    pub allowed: Vec<IpNet>,
    /// Prefixes of NAT64 translators beside the well-known one: what is sent there arrives at the IPv4 address inside.
    pub nat64: Vec<Ipv6Net>,
}

impl Networks {
    /// Judges `address`.
    ///
    /// # Errors
    /// Which network it belongs to that is not the public internet.
    pub fn judge(&self, address: IpAddr) -> Result<(), Forbidden> {
        let row = match address {
            IpAddr::V4(plain) => self.ipv4_row(plain),
            IpAddr::V6(coat) => self.ipv6_row(coat),
        };
        row.map_or(Ok(()), |(network, reach)| Err(Forbidden { address, network, is_reachable: reach == Reach::Global }))
    }

    /// The row that forbids an IPv4 address.
    fn ipv4_row(&self, address: Ipv4Addr) -> Option<(&'static str, Reach)> {
        let row = table::IPV4.iter().find(|row| row.network.contains(&address));
        row.filter(|_| !self.allows(address.into())).map(named)
    }

    /// The row that forbids an IPv6 address, or one that it carries.
    fn ipv6_row(&self, address: Ipv6Addr) -> Option<(&'static str, Reach)> {
        let translators = [table::MAPPED, table::NAT64];
        let mut translated =
            translators.iter().chain(&self.nat64).filter_map(|prefix| embedded::by_prefix(prefix, address)).peekable();
        if translated.peek().is_some() {
            // What is sent there arrives at the IPv4 address, so that one alone decides.
            return translated.find_map(|inner| self.ipv4_row(inner));
        }
        if let Some(row) = embedded::tunnelled(address).into_iter().flatten().find_map(|inner| self.ipv4_row(inner)) {
            return Some(row);
        }
        // A local translator sends to an IPv4 address that cannot be read here, so that allowing its network is not enough.
        if self.allows(address.into()) && !table::NAT64_LOCAL_USE.contains(&address) {
            return None;
        }
        let row = table::IPV6.iter().find(|row| row.network.contains(&address)).map(named);
        row.or_else(|| (!table::IPV6_GLOBAL.contains(&address)).then_some(("not Global Unicast", Reach::Local)))
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.allowed.iter().any(|network| network.contains(&address))
    }
}

fn named<Net>(row: &Row<Net>) -> (&'static str, Reach) {
    (row.name, row.reach)
}

#[cfg(test)]
mod tests;
