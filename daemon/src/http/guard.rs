//! Which addresses a request may go to: none of a private network, but of hosts that an operator named. Checked
//! on what a URL says, and again on what its name resolves to.

use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Keeps requests away from private addresses that no operator named.
#[derive(Debug)]
pub(super) struct Guard {
    /// Hosts that may be anywhere, in lower case.
    pub(super) exempt: Vec<String>,
}

/// A host resolves to an address of a private network.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is at a private address, where only a configured registry and registries.allowed_hosts may be"
)]
struct PrivateAddress(String);

impl Guard {
    /// Whether a URL may be spoken to, as far as that shows before names are resolved.
    pub(super) fn allows(&self, url: &Url) -> bool {
        let private = match url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(ip)) => is_private(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => is_private(IpAddr::V6(ip)),
            None => true,
        };
        !private || self.is_exempt(url.host_str().unwrap_or_default())
    }

    fn is_exempt(&self, host: &str) -> bool {
        self.exempt.iter().any(|e| e.eq_ignore_ascii_case(host))
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let (exempt, others) = (self.is_exempt(&host), self.exempt.clone());
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            let found: Vec<_> = found.collect();
            // one private address among public ones is a private address
            let private: Vec<IpAddr> = found.iter().map(SocketAddr::ip).collect();
            let private: Vec<IpAddr> = private.into_iter().filter(|ip| is_private(*ip)).collect();
            if !exempt && !private.is_empty() && !are_of(&private, &others).await {
                return Err(PrivateAddress(host).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Whether these addresses are those of named hosts. In a network where one machine stands for all
/// registries, an index and the hosts of its files have one address, which the operator named.
async fn are_of(addresses: &[IpAddr], hosts: &[String]) -> bool {
    let mut named = Vec::new();
    for host in hosts {
        if let Ok(found) = tokio::net::lookup_host((host.as_str(), 0)).await {
            named.extend(found.map(|address| address.ip()));
        }
    }
    // loopback is never meant: a build's registry there says nothing of this machine's other services
    let mut addresses = addresses.iter();
    addresses.all(|ip| !ip.is_loopback() && named.contains(ip))
}

/// Whether an address is none of the public internet's: of this machine, of a local or private network,
/// or of none.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_documentation()
                || a == 0
                || a >= 224 // multicast, reserved, broadcast
                || (a == 100 && (64..128).contains(&b))
                || (a, b, c) == (192, 0, 0)
                || (a == 198 && (18..20).contains(&b))
        }
        IpAddr::V6(ip) => {
            let within = |high: u16, low: u16| {
                let [a, b] = high.to_be_bytes();
                let [c, d] = low.to_be_bytes();
                is_private(IpAddr::V4([a, b, c, d].into()))
            };
            match ip.segments() {
                // IPv4 in another dress: mapped, NAT64, 6to4
                [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, _, _, _, _, high, low] => {
                    within(high, low)
                }
                [0x2002, high, low, ..] => within(high, low),
                [0x2001, 0xdb8, ..] => true,
                [first, ..] => !(0x2000..0x4000).contains(&first), // the one global range
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_no_public_network_are_private() {
        for private in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "192.0.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "64:ff9b::10.0.0.1",
            "2002:a00:1::",
            "2001:db8::1",
        ] {
            assert!(is_private(private.parse().unwrap()), "{private}");
        }
        for public in [
            "1.1.1.1",
            "100.128.0.1",
            "172.32.0.1",
            "198.20.0.1",
            "2606:4700::1111",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
        ] {
            assert!(!is_private(public.parse().unwrap()), "{public}");
        }
    }

    #[tokio::test]
    async fn a_name_is_looked_at_once_it_is_resolved() {
        let resolve = |exempt: Vec<String>| async move {
            let guard = Guard { exempt };
            guard
                .resolve("localhost".parse().unwrap())
                .await
                .map(Iterator::count)
        };
        assert!(resolve(vec!["LOCALHOST".into()]).await.unwrap() > 0);
        let error = resolve(Vec::new()).await.unwrap_err();
        assert!(error.is::<PrivateAddress>(), "{error}");
    }
}
