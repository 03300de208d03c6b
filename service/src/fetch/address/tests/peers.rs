//! Addresses by which others were entered or found wanting, each by the name under which it became known.

use super::*;

fn all_are_refused(texts: &[&str]) {
    for text in texts {
        assert!(judge(address(text)).is_err(), "{text} is allowed");
    }
}

/// CVE-2026-22245 (fixed in 4.5.4): its list lacked networks from which local addresses can be reached. What it lists since,
/// and what a later report found still missing (mastodon/mastodon#37440).
#[test]
fn mastodon_cve_2026_22245_networks_missing_from_the_list() {
    all_are_refused(&["0.1.2.3", "192.88.99.1", "198.18.0.1", "240.0.0.1", "255.255.255.255"]);
    all_are_refused(&[
        "2001::1",
        "2001:10::1",
        "2001:20::1",
        "2002:7f00:1::1",
        "64:ff9b::127.0.0.1",
        "64:ff9b:1::127.0.0.1",
    ]);
    all_are_refused(&["100::1", "2001:db8::1", "3fff::1", "fc00::1", "ff02::1"]);
    all_are_refused(&["192.31.196.1", "192.52.193.1", "192.175.48.1", "192.0.0.8", "192.0.0.170"]);
}

/// CVE-2026-46348 (fixed in 4.5.10): the unspecified address, which the system takes for its own.
#[test]
fn mastodon_cve_2026_46348_the_unspecified_address() {
    all_are_refused(&["::", "0.0.0.0", "::ffff:0.0.0.0", "64:ff9b::"]);
}

/// CVE-2026-47389 (fixed in 4.5.10): an AAAA record with a mapped private address.
#[test]
fn mastodon_cve_2026_47389_mapped_private_addresses() {
    all_are_refused(&["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:172.16.0.1", "::ffff:192.168.0.1"]);
    all_are_refused(&["::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "0:0:0:0:0:ffff:7f00:1"]);
}

/// Fixed in 4.0.12 (2026-07-29): shared address space, and private addresses as payload of compatible, 6to4, NAT64
/// (well-known and local), Teredo and ISATAP addresses.
#[test]
fn imgproxy_4_0_12_shared_addresses_and_payloads() {
    all_are_refused(&["100.64.0.0", "100.64.0.1", "100.127.255.255"]);
    all_are_refused(&["::10.0.0.1", "::8.8.8.8", "2002:a00:1::", "2002:6440:1::"]);
    all_are_refused(&["64:ff9b::10.0.0.1", "64:ff9b::100.64.0.1"]);
    all_are_refused(&["64:ff9b:1:a00:0:100::", "64:ff9b:1:c0a8:1:100::", "64:ff9b:1::10.0.0.1"]);
    all_are_refused(&["2001::f5ff:fffe", "2001:0:a00:1::f7f7:f7f7"]);
    all_are_refused(&["2606:4700::5efe:a00:1", "2606:4700::200:5efe:c0a8:101"]);
    for text in ["100.63.255.255", "100.128.0.0", "64:ff9b::8.8.8.8"] {
        assert_eq!(judge(address(text)), Ok(()), "{text}");
    }
}

/// Not refused by go-camo 2.7.5, whose list has neither shared addresses nor the prefixes that carry IPv4 addresses.
#[test]
fn go_camo_without_shared_addresses_nat64_and_6to4() {
    all_are_refused(&["100.64.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::"]);
    all_are_refused(&["0.0.0.0", "198.18.0.1", "224.0.0.1", "240.0.0.1", "2001::1", "3fff::1"]);
}

/// Where clouds keep the credentials of their machines, in every spelling that arrives here as an address.
#[test]
fn metadata_services_of_the_clouds() {
    all_are_refused(&["169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "fd00:ec2::254"]);
    all_are_refused(&["::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::", "::169.254.169.254"]);
    // Public by its number, so that no registry names it.
    all_are_refused(&["168.63.129.16", "::ffff:168.63.129.16"]);
}
