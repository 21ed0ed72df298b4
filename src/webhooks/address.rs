//! Which addresses a customer's endpoint may have: none inside our own networks, so that nobody makes us call those
//! (server-side request forgery). What is called lives in `client.rs`.

use hyper_util::client::legacy::connect::dns::Name;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Whether a call may go there. With a sandbox this machine itself may be called, and nothing else inside.
pub fn may_be_called(address: IpAddr, sandbox: bool) -> bool {
    match plain(address) {
        address if address.is_loopback() => sandbox,
        IpAddr::V4(address) => !is_inside_v4(address),
        IpAddr::V6(address) => !is_inside_v6(address),
    }
}

/// IPv4 in the clothes of IPv6 is judged as what it is (RFC 4291, 2.5.5; RFC 6052, 2.1).
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    if let Some(v4) = v6.to_ipv4() {
        return match v6 {
            Ipv6Addr::LOCALHOST | Ipv6Addr::UNSPECIFIED => address,
            _ => IpAddr::V4(v4),
        };
    }
    match v6.octets() {
        [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] => {
            Ipv4Addr::new(a, b, c, d).into()
        }
        // What a translator without state makes of IPv4 (RFC 6052 has it no more, RFC 2765, 2.1).
        [0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, a, b, c, d] => Ipv4Addr::new(a, b, c, d).into(),
        _ => address,
    }
}

/// The special-purpose ranges of RFC 6890 and its registry.
fn is_inside_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_private()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19))
}

fn is_inside_v6(address: Ipv6Addr) -> bool {
    let [first, second, third, fourth, ..] = address.segments();
    address.is_unspecified()
        || address.is_multicast()
        || first & 0xfe00 == 0xfc00
        || first & 0xffc0 == 0xfe80
        // Site-local, once.
        || first & 0xffc0 == 0xfec0
        // Discard-only, and NAT64 of one's own.
        || [first, second, third, fourth] == [0x100, 0, 0, 0]
        || [first, second, third] == [0x64, 0xff9b, 1]
        || (first == 0x2001 && second == 0xdb8)
        // Tunnels of IPv4, whose inner address is anybody's.
        || first == 0x2002
        || (first == 0x2001 && second == 0)
}

/// Looks names up, and leaves out what may not be called: a name may lead anywhere.
#[derive(Clone)]
pub struct GuardedResolver {
    pub sandbox: bool,
}

impl tower_service::Service<Name> for GuardedResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let sandbox = self.sandbox;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<_> = found
                .filter(|address| may_be_called(address.ip(), sandbox))
                .collect();
            if allowed.is_empty() {
                let message = "the name leads to no address that may be called";
                return Err(std::io::Error::new(
                    std::io::ErrorKind::PermissionDenied,
                    message,
                ));
            }
            Ok(allowed.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_inside_is_called() {
        for (text, outside) in [
            ("93.184.216.34", true),
            ("2606:2800:220:1::1", true),
            ("10.0.0.1", false),
            ("172.16.3.4", false),
            ("192.168.1.1", false),
            ("169.254.169.254", false),
            ("100.64.0.1", false),
            ("0.0.0.0", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("192.0.2.1", false),
            ("198.18.0.1", false),
            ("::", false),
            ("fe80::1", false),
            ("fd00::1", false),
            ("ff02::1", false),
            ("2001:db8::1", false),
            ("::ffff:10.0.0.1", false),
            ("::ffff:93.184.216.34", true),
            ("64:ff9b::a00:1", false),
            ("2002:a00:1::", false),
            ("fec0::1", false),
            ("100::1", false),
            ("64:ff9b:1::1", false),
            ("::ffff:0:10.0.0.1", false),
            ("192.88.99.1", false),
        ] {
            let address = text.parse().unwrap();
            assert_eq!(may_be_called(address, false), outside, "{text}");
            assert_eq!(may_be_called(address, true), outside, "{text} in a sandbox");
        }
        for text in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
            let address = text.parse().unwrap();
            assert!(!may_be_called(address, false), "{text}");
            assert!(may_be_called(address, true), "{text}");
        }
    }
}
