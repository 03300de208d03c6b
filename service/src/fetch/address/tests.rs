use super::*;
use ipnet::{Ipv4Net, Ipv6Net};
use proptest::prelude::*;

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn network(text: &str) -> IpNet {
    text.parse().expect("a network")
}

fn is_public(text: &str) -> bool {
    judge(address(text), &[]).is_ok()
}

#[test]
fn public_unicast_is_allowed() {
    for text in [
        "1.1.1.1",
        "8.8.8.8",
        "93.184.215.14",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2a00:1450:4001:830::200e",
        "2001:4860:4860::8888",
        "2001:200::1",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
    ] {
        assert_eq!(judge(address(text), &[]), Ok(()), "{text}");
    }
}

#[test]
fn what_strangers_try_is_refused() {
    for text in [
        "0.0.0.0",
        "127.0.0.1",
        "10.1.2.3",
        "100.64.0.1",
        "169.254.169.254",
        "172.31.255.255",
        "192.0.0.9",
        "192.168.1.1",
        "198.19.0.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::8.8.8.8",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:808:808::1",
        "3fff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fd12::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "fd00:ec2::254",
        "2606:4700::5efe:7f00:1",
        "2606:4700::200:5efe:a00:1",
    ] {
        assert!(!is_public(text), "{text} is allowed");
    }
}

/// Every row of the table by its first and last address, and the addresses just outside it by what holds them.
#[test]
fn every_row_refuses_from_its_first_to_its_last_address() {
    for row in table::IPV4 {
        for inside in [row.network.network(), row.network.broadcast()] {
            let forbidden = judge(inside.into(), &[]).expect_err(row.name);
            let named = |row: &table::Row<Ipv4Net>| row.network.contains(&inside) && row.name == forbidden.network;
            assert!(table::IPV4.iter().any(named), "{inside}: {forbidden}");
        }
        let before = u32::from(row.network.network()).checked_sub(1);
        let after = u32::from(row.network.broadcast()).checked_add(1);
        for outside in [before, after].into_iter().flatten().map(Ipv4Addr::from) {
            let is_held = table::IPV4.iter().any(|row| row.network.contains(&outside));
            assert_eq!(judge(outside.into(), &[]).is_err(), is_held, "{outside}, next to {}", row.name);
        }
    }
    for row in table::IPV6 {
        for inside in [row.network.network(), row.network.broadcast()] {
            assert!(judge(inside.into(), &[]).is_err(), "{inside} of {}", row.name);
        }
        let before = u128::from(row.network.network()).checked_sub(1);
        let after = u128::from(row.network.broadcast()).checked_add(1);
        for outside in [before, after].into_iter().flatten().map(Ipv6Addr::from) {
            let holds = |row: &table::Row<Ipv6Net>| row.network.contains(&outside);
            let is_held = table::IPV6.iter().any(holds) || !table::IPV6_GLOBAL.contains(&outside);
            assert_eq!(judge(outside.into(), &[]).is_err(), is_held, "{outside}, next to {}", row.name);
        }
    }
}

#[test]
fn a_narrow_row_comes_before_the_wide_one_that_holds_it() {
    fn first_name(text: &str) -> &'static str {
        judge(address(text), &[]).expect_err("refused").network
    }
    assert_eq!(first_name("0.0.0.0"), "This host on this network");
    assert_eq!(first_name("192.0.0.170"), "NAT64/DNS64 Discovery");
    assert_eq!(first_name("255.255.255.255"), "Limited Broadcast");
    assert_eq!(first_name("2001:1::1"), "Port Control Protocol Anycast");
    assert_eq!(first_name("4000::"), "not Global Unicast");
}

#[test]
fn an_allowed_network_is_an_exception_for_itself_only() {
    let allowed = [network("10.1.0.0/16"), network("fd00:1::/32")];
    for text in ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "fd00:1::5"] {
        assert_eq!(judge(address(text), &allowed), Ok(()), "{text}");
    }
    for text in ["10.2.0.1", "::ffff:10.2.0.1", "fd00:2::5", "127.0.0.1", "2002:a01:203::"] {
        assert!(judge(address(text), &allowed).is_err(), "{text}");
    }
}

#[test]
fn an_allowed_tunnel_still_leads_to_no_forbidden_address() {
    let allowed = [network("2002::/16"), network("64:ff9b:1::/48")];
    assert_eq!(judge(address("2002:808:808::1"), &allowed), Ok(()));
    assert!(judge(address("2002:7f00:1::1"), &allowed).is_err());
    assert_eq!(judge(address("64:ff9b:1::8.8.8.8"), &allowed), Ok(()));
    assert!(judge(address("64:ff9b:1::127.0.0.1"), &allowed).is_err());
}

#[test]
fn the_reason_names_address_and_network() {
    let forbidden = judge(address("::ffff:127.0.0.1"), &[]).expect_err("loopback");
    assert_eq!(forbidden.to_string(), "::ffff:127.0.0.1 is not a public address (Loopback)");
}

fn any_ipv4() -> impl Strategy<Value = Ipv4Addr> {
    // Half of all addresses would be ordinary: take those near the rows as often.
    let near_a_row = (0..table::IPV4.len(), any::<u32>()).prop_map(|(index, bits)| {
        let network = table::IPV4[index].network;
        Ipv4Addr::from(u32::from(network.network()) | (bits & u32::from(network.hostmask())))
    });
    prop_oneof![any::<u32>().prop_map(Ipv4Addr::from), near_a_row]
}

fn in_ipv6(prefix: [u16; 6], inner: Ipv4Addr) -> Ipv6Addr {
    let [a, b, c, d, e, f] = prefix;
    let bits = u32::from(inner);
    Ipv6Addr::new(a, b, c, d, e, f, (bits >> 16) as u16, bits as u16)
}

proptest! {
    #[test]
    fn an_ipv4_address_is_judged_the_same_when_mapped_or_translated(inner in any_ipv4()) {
        let plain = judge(inner.into(), &[]).map_err(|forbidden| forbidden.network);
        for prefix in [[0, 0, 0, 0, 0, 0xffff], [0x64, 0xff9b, 0, 0, 0, 0]] {
            let coated = judge(in_ipv6(prefix, inner).into(), &[]).map_err(|forbidden| forbidden.network);
            prop_assert_eq!(coated, plain);
        }
    }

    #[test]
    fn a_forbidden_ipv4_address_is_forbidden_in_every_coat(inner in any_ipv4(), prefix in any::<[u16; 4]>(), rest in any::<[u16; 4]>()) {
        prop_assume!(judge(inner.into(), &[]).is_err());
        let [a, b, c, d] = prefix;
        let [e, f, g, h] = rest;
        let (high, low) = ((u32::from(inner) >> 16) as u16, u32::from(inner) as u16);
        // Even where the operator allows the tunnels.
        let open: Vec<IpNet> = vec![network("2000::/3"), network("::/8"), network("64:ff9b::/16")];
        for coat in [
            in_ipv6([0, 0, 0, 0, 0, 0], inner),
            in_ipv6([0x64, 0xff9b, 1, d, e, f], inner),
            in_ipv6([a, b, c, d, 0, 0x5efe], inner),
            in_ipv6([a, b, c, d, 0x200, 0x5efe], inner),
            Ipv6Addr::new(0x2002, high, low, d, e, f, g, h),
            Ipv6Addr::new(0x2001, 0, high, low, e, f, g, h),
            Ipv6Addr::new(0x2001, 0, 0x808, 0x808, e, f, !high, !low),
        ] {
            prop_assert!(judge(coat.into(), &[]).is_err(), "{coat}");
            // `::` and `::1` are not coats but addresses, which the operator can allow.
            if u128::from(coat) > 1 {
                prop_assert!(judge(coat.into(), &open).is_err(), "{coat} with tunnels allowed");
            }
        }
    }

    #[test]
    fn outside_global_unicast_nothing_but_translated_addresses_is_allowed(bits in any::<u128>()) {
        let address = Ipv6Addr::from(bits);
        prop_assume!(!table::IPV6_GLOBAL.contains(&address));
        prop_assume!(!matches!(embedded(address), Embedded::Translated(_)));
        prop_assert!(judge(address.into(), &[]).is_err());
    }
}
