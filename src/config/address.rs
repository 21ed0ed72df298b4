//! Addresses to listen on, as the configuration writes them: whether they have a port, and whether two of
//! them are one.

use core::net::{IpAddr, Ipv4Addr};

/// Whether an address ends in a port.
pub fn has_port(address: &str) -> bool {
    let (host, port) = address.rsplit_once(':').unwrap_or_default();
    !host.is_empty() && port.parse::<u16>().is_ok()
}

pub fn no_port(what: &str) -> String {
    format!("{what} takes a host and a port, as in \"127.0.0.1:8583\"")
}

/// Whether only one of two addresses can be listened on. Host names other than `localhost` are not looked
/// up: only the same name is the same host.
pub fn clash(one: &str, other: &str) -> bool {
    let (Some((host, port)), Some((other_host, other_port))) = (parts(one), parts(other)) else {
        return false;
    };
    // With port 0 the system gives each a free one.
    port == other_port && port != 0 && same_host(host, other_host)
}

fn parts(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    Some((host, port.parse().ok()?))
}

fn same_host(one: &str, other: &str) -> bool {
    match (ip(one), ip(other)) {
        (Some(one), Some(other)) => one == other || covers(one, other) || covers(other, one),
        (Some(ip), None) | (None, Some(ip)) => ip.is_unspecified(),
        (None, None) => one.eq_ignore_ascii_case(other),
    }
}

fn ip(host: &str) -> Option<IpAddr> {
    if host.eq_ignore_ascii_case("localhost") {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    bare.unwrap_or(host).parse().ok()
}

/// `0.0.0.0` is every address of version 4, `[::]` every address.
fn covers(all: IpAddr, one: IpAddr) -> bool {
    all.is_unspecified() && (all.is_ipv6() || one.is_ipv4())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_exclude_each_other() {
        for (one, other, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("localhost:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "10.0.0.1:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("[::]:80", "10.0.0.1:80", true),
            ("[::1]:80", "[::1]:080", true),
            ("0.0.0.0:80", "switch.example:80", true),
            ("switch.example:80", "Switch.example:80", true),
            ("switch.example:80", "10.0.0.1:80", false),
            ("no port", "no port", false),
        ] {
            assert_eq!(clash(one, other), expected, "{one} {other}");
            assert_eq!(clash(other, one), expected, "{other} {one}");
        }
    }
}
