//! An IPv4 address is judged the same in whatever coat it comes.

use super::*;

fn any_ipv4() -> impl Strategy<Value = Ipv4Addr> {
    // Nearly all addresses are ordinary: take those in and beside the rows as often.
    let in_a_row = (0..table::IPV4.len(), any::<u32>()).prop_map(|(index, bits)| {
        let network = table::IPV4[index].network;
        Ipv4Addr::from(u32::from(network.network()) | (bits & u32::from(network.hostmask())))
    });
    let beside_a_row = (0..table::IPV4.len(), any::<bool>()).prop_map(|(index, before)| {
        let network = table::IPV4[index].network;
        let (first, last) = (u32::from(network.network()), u32::from(network.broadcast()));
        Ipv4Addr::from(if before { first.saturating_sub(1) } else { last.saturating_add(1) })
    });
    prop_oneof![any::<u32>().prop_map(Ipv4Addr::from), in_a_row, beside_a_row]
}

/// `inner` as RFC 6052 lays it out behind a prefix of `length` bits; the rest of the address as in `around`.
fn translated(around: Ipv6Addr, length: u8, inner: Ipv4Addr) -> Ipv6Addr {
    let mut octets = around.octets();
    let places: [usize; 4] = match length {
        32 => [4, 5, 6, 7],
        40 => [5, 6, 7, 9],
        48 => [6, 7, 9, 10],
        56 => [7, 9, 10, 11],
        64 => [9, 10, 11, 12],
        _ => [12, 13, 14, 15],
    };
    for (place, octet) in places.into_iter().zip(inner.octets()) {
        octets[place] = octet;
    }
    octets.into()
}

/// The six examples of RFC 6052, section 2.4: 192.0.2.33 behind prefixes of every length.
#[test]
fn translated_addresses_are_read_as_the_rfc_writes_them() {
    for (prefix, text) in [
        ("2001:db8::/32", "2001:db8:c000:221::"),
        ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
        ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
        ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
        ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
        ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
        ("64:ff9b::/96", "64:ff9b::192.0.2.33"),
    ] {
        let inner = embedded::by_prefix(&prefix.parse().expect("a prefix"), text.parse().expect("an address"));
        assert_eq!(inner, Some(Ipv4Addr::new(192, 0, 2, 33)), "{text}");
    }
}

fn in_ipv6(prefix: [u16; 6], inner: Ipv4Addr) -> Ipv6Addr {
    let [a, b, c, d, e, f] = prefix;
    translated(Ipv6Addr::new(a, b, c, d, e, f, 0, 0), 96, inner)
}

fn network_of(verdict: Result<(), Forbidden>) -> Result<(), &'static str> {
    verdict.map_err(|forbidden| forbidden.network)
}

proptest! {
    #[test]
    fn an_ipv4_address_is_judged_the_same_when_mapped_or_translated(inner in any_ipv4()) {
        let plain = network_of(judge(inner.into()));
        for prefix in [[0, 0, 0, 0, 0, 0xffff], [0x64, 0xff9b, 0, 0, 0, 0]] {
            prop_assert_eq!(network_of(judge(in_ipv6(prefix, inner).into())), plain);
        }
    }

    /// Of every length, anywhere in IPv6, whatever stands behind the IPv4 address.
    #[test]
    fn an_ipv4_address_is_judged_the_same_behind_a_configured_prefix(
        inner in any_ipv4(),
        around in any::<u128>(),
        length in proptest::sample::select(vec![32_u8, 40, 48, 56, 64, 96]),
    ) {
        let coat = translated(Ipv6Addr::from(around), length, inner);
        prop_assume!(!table::MAPPED.contains(&coat) && !table::NAT64.contains(&coat));
        let prefix = Ipv6Net::new(coat, length).expect("a length").trunc();
        let networks = Networks { allowed: Vec::new(), nat64: vec![prefix] };
        prop_assert_eq!(network_of(networks.judge(coat.into())), network_of(judge(inner.into())), "{} in {}", coat, prefix);
        // The same where the operator allows the prefix as well: only the IPv4 address decides.
        let allowed = Networks { allowed: vec![prefix.into()], ..networks };
        prop_assert_eq!(network_of(allowed.judge(coat.into())), network_of(judge(inner.into())));
    }

    #[test]
    fn a_forbidden_ipv4_address_is_forbidden_in_every_coat(
        inner in any_ipv4(),
        prefix in any::<[u16; 4]>(),
        rest in any::<[u16; 4]>(),
    ) {
        prop_assume!(judge(inner.into()).is_err());
        let [a, b, c, d] = prefix;
        let [e, f, g, h] = rest;
        let (high, low) = ((u32::from(inner) >> 16) as u16, u32::from(inner) as u16);
        // Even where the operator allows the tunnels.
        let open = allowing(&["2000::/3", "::/8", "64:ff9b::/16"]);
        for coat in [
            in_ipv6([0, 0, 0, 0, 0, 0], inner),
            in_ipv6([0, 0, 0, 0, 0xffff, 0], inner),
            in_ipv6([0x64, 0xff9b, 1, d, e, f], inner),
            in_ipv6([a, b, c, d, 0, 0x5efe], inner),
            in_ipv6([a, b, c, d, 0x200, 0x5efe], inner),
            Ipv6Addr::new(0x2002, high, low, d, e, f, g, h),
            Ipv6Addr::new(0x2001, 0, high, low, e, f, g, h),
            Ipv6Addr::new(0x2001, 0, 0x808, 0x808, e, f, !high, !low),
            Ipv6Addr::new(0x3ffe, 0x831f, 0x808, 0x808, e, f, !high, !low),
        ] {
            prop_assert!(judge(coat.into()).is_err(), "{coat}");
            // `::` and `::1` are not coats but addresses, which the operator can allow.
            if u128::from(coat) > 1 {
                prop_assert!(open.judge(coat.into()).is_err(), "{coat} with tunnels allowed");
            }
        }
    }

    #[test]
    fn outside_global_unicast_nothing_but_translated_addresses_is_allowed(bits in any::<u128>()) {
        let address = Ipv6Addr::from(bits);
        prop_assume!(!table::IPV6_GLOBAL.contains(&address));
        prop_assume!(!table::MAPPED.contains(&address) && !table::NAT64.contains(&address));
        prop_assert!(judge(address.into()).is_err());
    }

    #[test]
    fn whatever_is_allowed_is_none_of_the_classes_that_the_standard_library_knows(bits in any::<u32>(), near in any_ipv4()) {
        for address in [Ipv4Addr::from(bits), near] {
            let odd = address.is_private() || address.is_loopback() || address.is_link_local() || address.is_multicast()
                || address.is_broadcast() || address.is_documentation() || address.is_unspecified();
            prop_assert!(!odd || judge(address.into()).is_err(), "{address}");
        }
    }
}
