use super::*;
use proptest::prelude::*;

mod coats;
mod peers;
mod rows;

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn network(text: &str) -> IpNet {
    text.parse().expect("a network")
}

fn judge(address: IpAddr) -> Result<(), Forbidden> {
    Networks::default().judge(address)
}

fn allowing(networks: &[&str]) -> Networks {
    Networks { allowed: networks.iter().copied().map(network).collect(), nat64: Vec::new() }
}

fn translating(prefixes: &[&str]) -> Networks {
    Networks { allowed: Vec::new(), nat64: prefixes.iter().map(|text| text.parse().expect("a prefix")).collect() }
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
        assert_eq!(judge(address(text)), Ok(()), "{text}");
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
        "2606:4700::300:5efe:a00:1",
        "3ffe:831f::1",
        "100:0:0:1::1",
    ] {
        assert!(judge(address(text)).is_err(), "{text} is allowed");
    }
}

#[test]
fn an_allowed_network_is_an_exception_for_itself_only() {
    let networks = allowing(&["10.1.0.0/16", "fd00:1::/32"]);
    for text in ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "fd00:1::5"] {
        assert_eq!(networks.judge(address(text)), Ok(()), "{text}");
    }
    for text in ["10.2.0.1", "::ffff:10.2.0.1", "fd00:2::5", "127.0.0.1", "2002:a01:203::"] {
        assert!(networks.judge(address(text)).is_err(), "{text}");
    }
}

#[test]
fn an_allowed_tunnel_still_leads_to_no_forbidden_address() {
    let networks = allowing(&["2002::/16", "::/8"]);
    for text in ["2002:808:808::1", "::8.8.8.8", "::ffff:0:8.8.8.8"] {
        assert_eq!(networks.judge(address(text)), Ok(()), "{text}");
    }
    for text in ["2002:7f00:1::1", "::127.0.0.1", "::ffff:0:127.0.0.1"] {
        assert!(networks.judge(address(text)).is_err(), "{text}");
    }
}

/// Where the IPv4 address stands in one of these, only the prefix tells, and the wrong place would read another address.
#[test]
fn a_local_translator_is_opened_by_its_prefix_and_not_by_its_network() {
    let inside = "64:ff9b:1:a00:0:100:808:808";
    assert!(allowing(&["64:ff9b:1::/48"]).judge(address(inside)).is_err());
    assert!(allowing(&["64:ff9b:1::/48"]).judge(address("64:ff9b:1::8.8.8.8")).is_err());
    assert!(translating(&["64:ff9b:1::/48"]).judge(address(inside)).is_err(), "10.0.0.1 in the layout of 48 bits");
    assert_eq!(translating(&["64:ff9b:1::/96"]).judge(address("64:ff9b:1::8.8.8.8")), Ok(()));
    assert!(translating(&["64:ff9b:1::/96"]).judge(address("64:ff9b:1::10.0.0.1")).is_err());
    assert!(translating(&["64:ff9b:1::/96"]).judge(address("64:ff9b:1:1::8.8.8.8")).is_err(), "beside the prefix");
}

#[test]
fn the_reason_names_address_and_network() {
    let said = |text: &str| judge(address(text)).expect_err(text).to_string();
    assert_eq!(said("::ffff:127.0.0.1"), "::ffff:127.0.0.1 is not a public address (Loopback)");
    assert_eq!(said("192.52.193.1"), "192.52.193.1 belongs to network equipment (AMT)");
}
