//! The whole table, written out once more: a row that is lost, moved or mistyped is seen here.

use super::*;
use table::Reach::{Global, Local, Unstated};

/// Each network, the registry's "globally reachable", and whether the addresses just before and just behind it are public.
const IPV4: &[(&str, Reach, bool, bool)] = &[
    ("0.0.0.0/32", Local, false, false),
    ("0.0.0.0/8", Local, false, true),
    ("10.0.0.0/8", Local, true, true),
    ("100.64.0.0/10", Local, true, true),
    ("127.0.0.0/8", Local, true, true),
    ("168.63.129.16/32", Local, true, true),
    ("169.254.0.0/16", Local, true, true),
    ("172.16.0.0/12", Local, true, true),
    ("192.0.0.0/29", Local, true, false),
    ("192.0.0.8/32", Local, false, false),
    ("192.0.0.9/32", Global, false, false),
    ("192.0.0.10/32", Global, false, false),
    ("192.0.0.170/31", Local, false, false),
    ("192.0.0.0/24", Local, true, true),
    ("192.0.2.0/24", Local, true, true),
    ("192.31.196.0/24", Global, true, true),
    ("192.52.193.0/24", Global, true, true),
    ("192.88.99.0/24", Unstated, true, true),
    ("192.168.0.0/16", Local, true, true),
    ("192.175.48.0/24", Global, true, true),
    ("198.18.0.0/15", Local, true, true),
    ("198.51.100.0/24", Local, true, true),
    ("203.0.113.0/24", Local, true, true),
    ("224.0.0.0/4", Local, true, false),
    ("255.255.255.255/32", Local, false, false),
    ("240.0.0.0/4", Local, false, false),
];

/// As [`IPV4`].
const IPV6: &[(&str, Reach, bool, bool)] = &[
    ("::/128", Local, false, false),
    ("::1/128", Local, false, false),
    ("::ffff:0.0.0.0/96", Local, false, false),
    ("64:ff9b::/96", Global, false, false),
    ("64:ff9b:1::/48", Local, false, false),
    ("100::/64", Local, false, false),
    ("100:0:0:1::/64", Local, false, false),
    ("2001::/32", Unstated, true, false),
    ("2001:1::1/128", Global, false, false),
    ("2001:1::2/128", Global, false, false),
    ("2001:1::3/128", Global, false, false),
    ("2001:2::/48", Local, false, false),
    ("2001:3::/32", Global, false, false),
    ("2001:4:112::/48", Global, false, false),
    ("2001:10::/28", Unstated, false, false),
    ("2001:20::/28", Global, false, false),
    ("2001:30::/28", Global, false, false),
    ("2001::/23", Local, true, true),
    ("2001:db8::/32", Local, true, true),
    ("2002::/16", Unstated, true, true),
    ("2620:4f:8000::/48", Global, true, true),
    ("3ffe::/16", Unstated, true, false),
    ("3fff::/20", Local, false, true),
    ("5f00::/16", Local, false, false),
    ("fc00::/7", Local, false, false),
    ("fe80::/10", Local, false, false),
    ("fec0::/10", Local, false, false),
    ("ff00::/8", Local, false, false),
];

/// What is inside is refused, and what is beside is as written; the rows themselves are those written.
fn walk(rows: &[(IpNet, Reach, &'static str)], expected: &[(&str, Reach, bool, bool)]) {
    let written: Vec<_> = expected.iter().map(|(text, reach, ..)| (network(text), *reach)).collect();
    let ours: Vec<_> = rows.iter().map(|(network, reach, _)| (*network, *reach)).collect();
    assert_eq!(ours, written);
    for ((network, reach, name), (text, _, before_is_public, behind_is_public)) in rows.iter().zip(expected) {
        let (first, last) = (network.network(), network.broadcast());
        // Of these two the IPv4 address decides: see `coats`.
        if !matches!(*name, "IPv4-mapped Address" | "IPv4-IPv6 Translat.") {
            for inside in [Some(first), next(first, 1), next(last, -1), Some(last)] {
                let Some(inside) = inside.filter(|inside| network.contains(inside)) else { continue };
                let forbidden = judge(inside).expect_err(text);
                let holds =
                    |(row, _, name): &&(IpNet, Reach, &str)| row.contains(&inside) && *name == forbidden.network;
                let Some(row) = rows.iter().find(holds) else {
                    // A tunnel is named by the address that it leads to, if that is forbidden.
                    let IpAddr::V6(coat) = inside else { panic!("{forbidden} is not of a row") };
                    let leads_to = embedded::tunnelled(coat).into_iter().flatten().map(|inner| judge(inner.into()));
                    let names = leads_to.filter_map(|verdict| verdict.err().map(|inner| inner.network));
                    assert!(names.into_iter().any(|name| name == forbidden.network), "{forbidden} is not of a row");
                    continue;
                };
                assert!(row.0.prefix_len() >= network.prefix_len(), "{forbidden}, where '{name}' is narrower");
                assert_eq!(forbidden.is_reachable, row.1 == Global, "{forbidden}");
            }
        }
        for (beside, is_public) in [(next(first, -1), before_is_public), (next(last, 1), behind_is_public)] {
            let verdict = beside.map(judge);
            assert_eq!(
                verdict.is_some_and(|verdict| verdict.is_ok()),
                *is_public,
                "{beside:?} beside {text} {reach:?}"
            );
        }
    }
}

/// The address `step` further on, if there is one.
fn next(address: IpAddr, step: i8) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => {
            u32::from(address).checked_add_signed(step.into()).map(|bits| Ipv4Addr::from(bits).into())
        }
        IpAddr::V6(address) => {
            u128::from(address).checked_add_signed(step.into()).map(|bits| Ipv6Addr::from(bits).into())
        }
    }
}

#[test]
fn every_row_refuses_from_its_first_to_its_last_address_and_not_what_is_beside_it() {
    let ipv4: Vec<_> = table::IPV4.iter().map(|row| (row.network.into(), row.reach, row.name)).collect();
    walk(&ipv4, IPV4);
    let ipv6: Vec<_> = table::IPV6.iter().map(|row| (row.network.into(), row.reach, row.name)).collect();
    walk(&ipv6, IPV6);
}

#[test]
fn no_row_hides_a_narrower_one_behind_it() {
    fn hidden<Net: Copy + Into<IpNet>>(rows: &[Row<Net>]) -> Vec<&'static str> {
        let networks: Vec<IpNet> = rows.iter().map(|row| row.network.into()).collect();
        let behind_a_wider = |(index, row): (usize, &Row<Net>)| {
            networks.iter().take(index).any(|wider| wider.contains(&row.network.into())).then_some(row.name)
        };
        rows.iter().enumerate().filter_map(behind_a_wider).collect()
    }
    assert_eq!((hidden(table::IPV4), hidden(table::IPV6)), (Vec::new(), Vec::new()));
}

#[test]
fn the_whole_of_ipv6_outside_global_unicast_is_refused_without_a_row() {
    for text in [
        "::2:0:0",
        "64:ff9a::",
        "64:ff9b:2::",
        "100:0:0:2::",
        "200::",
        "1fff:ffff::",
        "4000::",
        "8000::",
        "f000::",
        "fe00::",
    ] {
        assert!(judge(address(text)).is_err(), "{text}");
    }
    assert_eq!(judge(address("4000::")).expect_err("reserved").network, "not Global Unicast");
    assert_eq!(judge(address("2000::")), Ok(()));
    assert_eq!(judge(address("3fff:ffff::")), Ok(()));
}
