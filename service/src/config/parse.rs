//! The spelling of settings: text -> value, with an error that says what is allowed.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::{IpNet, Ipv6Net};

const BYTE_UNITS: &[(&str, u64)] = &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1), ("", 1)];
const TIME_UNITS: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// A whole number of bytes: `4096`, `64KiB`, `20MiB`, `1GiB`.
///
/// # Errors
/// What is wrong, without the text itself.
pub fn bytes(text: &str) -> Result<u64, String> {
    with_unit(text, BYTE_UNITS)
        .ok_or_else(|| "not a size; write a whole number with KiB, MiB or GiB, as in 20MiB".into())
}

/// A span of time as a whole number with a unit: `500ms`, `2s`, `5m`, `1h`.
///
/// # Errors
/// What is wrong, without the text itself.
pub fn duration(text: &str) -> Result<Duration, String> {
    with_unit(text, TIME_UNITS)
        .map(Duration::from_millis)
        .ok_or_else(|| "not a duration; write a whole number with ms, s, m or h, as in 500ms".into())
}

fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// A whole number.
///
/// # Errors
/// What is wrong, without the text itself.
pub fn count(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "not a whole number".into())
}

/// Networks in CIDR form, comma separated: `10.0.0.0/8,fd00::/8`. A bare address means that address alone.
///
/// # Errors
/// Which entry is wrong.
pub fn cidrs(text: &str) -> Result<Vec<IpNet>, String> {
    list(text)
        .map(|item| {
            item.parse::<IpNet>()
                .or_else(|_| item.parse::<std::net::IpAddr>().map(IpNet::from))
                .map_err(|_| format!("'{item}' is not a network; write it as 10.0.0.0/8 or fd00::/8"))
        })
        .collect()
}

/// Prefixes of NAT64 translators, comma separated: `2001:db8:64::/96`. RFC 6052 knows the lengths 32, 40, 48, 56, 64 and 96.
///
/// # Errors
/// Which entry is wrong.
pub fn nat64_prefixes(text: &str) -> Result<Vec<Ipv6Net>, String> {
    list(text)
        .map(|item| match item.parse::<Ipv6Net>() {
            Ok(prefix) if matches!(prefix.prefix_len(), 32 | 40 | 48 | 56 | 64 | 96) => Ok(prefix.trunc()),
            _ => Err(format!("'{item}' is not an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits, as in fd00:64::/96")),
        })
        .collect()
}

/// A URL or mail address, as a comment of a `User-Agent` can carry it: 1 to 200 visible ASCII characters without brackets
/// and backslash.
///
/// # Errors
/// What is wrong.
pub fn contact(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'(' | b')' | b'\\');
    if (1..=200).contains(&text.len()) && text.bytes().all(fits) {
        return Ok(text.to_owned());
    }
    Err("not a contact; write a URL or mail address of at most 200 ASCII characters without spaces and brackets".into())
}

/// Port numbers, comma separated.
///
/// # Errors
/// Which entry is wrong.
pub fn ports(text: &str) -> Result<Vec<u16>, String> {
    let ports: Vec<u16> = list(text)
        .map(|item| match item.parse::<u16>() {
            Ok(port) if port > 0 => Ok(port),
            _ => Err(format!("'{item}' is not a port; ports are 1 to 65535")),
        })
        .collect::<Result<_, _>>()?;
    if ports.is_empty() { Err("at least one port is needed".into()) } else { Ok(ports) }
}

/// An address to listen on: `127.0.0.1:8081`, `[::]:8081`.
///
/// # Errors
/// What is wrong.
pub fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "not an address with a port, as in 127.0.0.1:8081 or [::]:8081".into())
}

/// `key=value;key=value`, split at the first `=`; `\;` is a semicolon, `\\` a backslash. White space around keys is dropped.
///
/// # Errors
/// Which entry (by number: values may be secrets) has no key or no `=`.
pub fn properties(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut entries = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek().copied()) {
            ('\\', Some(escaped @ (';' | '\\'))) => {
                chars.next();
                push(&mut entries, escaped);
            }
            (';', _) => entries.push(String::new()),
            _ => push(&mut entries, c),
        }
    }
    let mut properties: Vec<(String, String)> = Vec::new();
    for (index, entry) in entries.iter().enumerate().filter(|(_, entry)| !entry.trim().is_empty()) {
        let number = index + 1;
        let (key, value) = entry.split_once('=').ok_or_else(|| format!("entry {number} has no '='"))?;
        let key = key.trim();
        if key.is_empty() {
            return Err(format!("entry {number} has no key before '='"));
        }
        if properties.iter().any(|(known, _)| known == key) {
            return Err(format!("'{key}' is given twice"));
        }
        properties.push((key.to_owned(), value.to_owned()));
    }
    Ok(properties)
}

fn push(entries: &mut [String], c: char) {
    if let Some(last) = entries.last_mut() {
        last.push(c);
    }
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_whole_numbers_with_binary_units() {
        assert_eq!(bytes("4096"), Ok(4096));
        assert_eq!(bytes("20MiB"), Ok(20 << 20));
        assert_eq!(bytes("1 GiB"), Ok(1 << 30));
        for wrong in ["", "MiB", "1.5MiB", "-1", "20MB", "20mib", "99999999999GiB"] {
            assert!(bytes(wrong).is_err(), "{wrong} was read as a size");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        for wrong in ["", "5", "s", "1.5s", "-1s", "5 minutes"] {
            assert!(duration(wrong).is_err(), "{wrong} was read as a duration");
        }
    }

    #[test]
    fn properties_split_at_the_first_equals_sign_and_keep_escaped_semicolons() {
        let read = properties(r"sasl.password=a=b\;c\\; security.protocol =SASL_SSL;").expect("reads");
        assert_eq!(read, [("sasl.password".into(), r"a=b;c\".into()), ("security.protocol".into(), "SASL_SSL".into())]);
        for wrong in ["novalue", "=x", "a=1;a=2"] {
            assert!(properties(wrong).is_err(), "{wrong} was read as properties");
        }
    }

    #[test]
    fn a_bad_property_is_named_by_its_place_and_not_by_its_text() {
        let message = properties("a=1;hunter2").expect_err("no '='");
        assert_eq!(message, "entry 2 has no '='");
    }

    #[test]
    fn a_contact_can_break_no_header() {
        for right in ["https://example.org/bot", "mailto:ops@example.org", "ops@example.org"] {
            assert_eq!(contact(right), Ok(right.into()));
        }
        for wrong in ["", "a b", "a\r\nX: y", "a(b", "a)", r"a\b", "\u{e4}@example.org", "a\tb", &"x".repeat(201)] {
            assert!(contact(wrong).is_err(), "{wrong:?} was read as a contact");
        }
    }

    #[test]
    fn networks_and_ports_name_the_bad_entry() {
        assert_eq!(cidrs("10.0.0.0/8, ::1").expect("reads").len(), 2);
        assert_eq!(cidrs("").expect("empty is none"), []);
        assert!(cidrs("10.0.0.0/8,nonsense").expect_err("bad entry").contains("'nonsense'"));
        assert_eq!(nat64_prefixes("fd00:64::/96, 64:ff9b:1::/48").expect("reads").len(), 2);
        for wrong in ["fd00::/50", "fd00::/128", "fd00::", "10.0.0.0/8", "fd00::/96,x"] {
            assert!(nat64_prefixes(wrong).expect_err("bad entry").contains("bits"), "{wrong}");
        }
        assert_eq!(ports("80, 443"), Ok(vec![80, 443]));
        assert!(ports("80,70000").expect_err("too large").contains("'70000'"));
        assert!(ports("0").is_err() && ports("").is_err());
    }
}
