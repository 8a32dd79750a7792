//! Which addresses may be pushed to: public ones over https, others only where the daemon's configuration says so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

/// RFC 1035, 2.3.4.
const LABEL_MAX: usize = 63;

/// The rule of this daemon. It comes from its configuration, never from the API.
#[derive(Clone, Debug, Default)]
pub struct EgressPolicy {
    allow: Vec<IpNet>,
}

impl EgressPolicy {
    /// A policy with these exceptions from the rule that only public addresses are pushed to.
    #[must_use]
    pub fn new(allow: Vec<IpNet>) -> Self {
        Self { allow }
    }

    /// Whether the configuration allows this address explicitly, so that plain http to it is fine too.
    #[must_use]
    pub fn is_exception(&self, ip: IpAddr) -> bool {
        // The kernel connects to a mapped address over IPv4, so an exception for IPv6 must not let it through.
        let ip = ip.to_canonical();
        self.allow.iter().any(|net| net.contains(&ip))
    }

    /// Whether this address may be connected to.
    #[must_use]
    pub fn permits(&self, ip: IpAddr) -> bool {
        self.is_exception(ip) || is_public(ip)
    }

    /// Checks what can be checked when a URL is saved: scheme, user info, literal addresses, local names.
    pub fn check(&self, url: &Url) -> Result<(), AddressError> {
        let plain = match url.scheme() {
            "https" => false,
            "http" => true,
            other => return Err(AddressError::Scheme(other.to_owned())),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AddressError::Credentials);
        }
        if url.fragment().is_some() {
            return Err(AddressError::Fragment);
        }
        if url.port() == Some(0) {
            return Err(AddressError::PortZero);
        }
        match url.host() {
            None => Err(AddressError::NoHost),
            Some(Host::Ipv4(ip)) => self.check_literal(ip.into(), plain),
            Some(Host::Ipv6(ip)) => self.check_literal(ip.into(), plain),
            Some(Host::Domain(name)) => self.check_name(name, plain),
        }
    }

    fn check_literal(&self, ip: IpAddr, plain: bool) -> Result<(), AddressError> {
        if self.is_exception(ip) {
            return Ok(());
        }
        if !is_public(ip) {
            return Err(AddressError::NotPublic(ip));
        }
        if plain {
            return Err(AddressError::PlainTo(ip));
        }
        Ok(())
    }

    fn check_name(&self, name: &str, plain: bool) -> Result<(), AddressError> {
        let bare = name.trim_end_matches('.');
        if bare.is_empty() {
            return Err(AddressError::NoHost);
        }
        let is_label = |label: &str| !label.is_empty() && label.len() <= LABEL_MAX;
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if let Some(label) = bare.split('.').find(|label| !is_label(label) || !label.bytes().all(is_letter)) {
            return Err(AddressError::NoName { name: bare.to_owned(), label: label.to_owned() });
        }
        let is_local = bare == "localhost" || bare.ends_with(".localhost");
        if is_local && ![LOOPBACK_V4, LOOPBACK_V6].into_iter().any(|ip| self.is_exception(ip)) {
            return Err(AddressError::ThisMachine(bare.to_owned()));
        }
        if plain && self.allow.is_empty() {
            return Err(AddressError::PlainToName(bare.to_owned()));
        }
        Ok(())
    }
}

/// Why a URL may not be pushed to, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("the URL starts with {0}: but must start with https://")]
    Scheme(String),
    #[error("the URL holds a user name or password: take them out and use a header")]
    Credentials,
    #[error("the URL has a fragment, which is never sent: take out everything from the # on")]
    Fragment,
    #[error("the URL has no host: write https://HOST/PATH")]
    NoHost,
    #[error(
        "{name} is no host that can be looked up: its part {label:?} may have 1 to 63 letters, digits, - and _"
    )]
    NoName { name: String, label: String },
    #[error("nothing listens on port 0: write another, or leave it out")]
    PortZero,
    #[error("{0} is not a public address: use one, or {way_out}", way_out = allowing(*.0))]
    NotPublic(IpAddr),
    #[error("plain http to {0} is not allowed: use https, or {way_out}", way_out = allowing(*.0))]
    PlainTo(IpAddr),
    #[error("{0} is this machine itself: use a public name, or {way_out}", way_out = allowing(LOOPBACK_V4))]
    ThisMachine(String),
    #[error(
        "plain http to {0} is not allowed: use https, or start leadlined with --allow-egress CIDR for its address"
    )]
    PlainToName(String),
}

impl From<AddressError> for String {
    fn from(error: AddressError) -> Self {
        error.to_string()
    }
}

const LOOPBACK_V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LOOPBACK_V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// How the operator of the daemon can allow an address: the second half of every refusal.
#[must_use]
pub fn allowing(ip: IpAddr) -> String {
    format!("start leadlined with --allow-egress {}", IpNet::from(ip.to_canonical()))
}

/// Whether an address is globally reachable by IANA's special-purpose registries.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !SPECIAL_V4.iter().any(|net| net.contains(&ip)),
        IpAddr::V6(ip) => GLOBAL_V6.contains(&ip) && !SPECIAL_V6.iter().any(|net| net.contains(&ip)),
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(a: u16, b: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), prefix)
}

/// The blocks of IANA's IPv4 registry that are not globally reachable, and multicast.
const SPECIAL_V4: [Ipv4Net; 16] = [
    v4(0, 0, 0, 0, 8),          // this network
    v4(10, 0, 0, 0, 8),         // private
    v4(100, 64, 0, 0, 10),      // shared by carriers
    v4(127, 0, 0, 0, 8),        // loopback
    v4(169, 254, 0, 0, 16),     // link-local, where clouds serve their metadata
    v4(172, 16, 0, 0, 12),      // private
    v4(192, 0, 0, 0, 24),       // protocol assignments; its two reachable addresses serve no web
    v4(192, 0, 2, 0, 24),       // documentation
    v4(192, 88, 99, 0, 24),     // the retired 6to4 relay
    v4(192, 168, 0, 0, 16),     // private
    v4(198, 18, 0, 0, 15),      // benchmarks
    v4(198, 51, 100, 0, 24),    // documentation
    v4(203, 0, 113, 0, 24),     // documentation
    v4(224, 0, 0, 0, 4),        // multicast
    v4(240, 0, 0, 0, 4),        // reserved
    v4(255, 255, 255, 255, 32), // broadcast
];

/// All unicast addresses that are global. What lies outside needs no row of its own: the unspecified address and
/// loopback, IPv4 in its mapped, compatible, translated (SIIT) and NAT64 forms, discard and dummy prefixes, segment
/// routing, unique-local, link-local, site-local and multicast.
const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 3);

/// The blocks inside it that are not globally reachable, or that carry an IPv4 address.
const SPECIAL_V6: [Ipv6Net; 4] = [
    v6(0x2001, 0, 23), // protocol assignments: Teredo, benchmarks, ORCHID, anycast services that serve no web
    v6(0x2001, 0x0db8, 32), // documentation
    v6(0x2002, 0, 16), // 6to4
    v6(0x3fff, 0, 20), // documentation
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Every block that must not be reached, as the registries write it.
    const REFUSED: [&str; 40] = [
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.0.0/29",
        "192.0.0.8/32",
        "192.0.0.170/31",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "255.255.255.255/32",
        "::/128",
        "::1/128",
        "::/96",
        "::ffff:0:0/96",
        "::ffff:0:0:0/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "100::/64",
        "100:0:0:1::/64",
        "2001::/23",
        "2001::/32",
        "2001:2::/48",
        "2001:10::/28",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    ];

    fn middle(net: IpNet) -> IpAddr {
        match (net.network(), net.broadcast()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                Ipv4Addr::from_bits(first.to_bits() + (last.to_bits() - first.to_bits()) / 2).into()
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                Ipv6Addr::from_bits(first.to_bits() + (last.to_bits() - first.to_bits()) / 2).into()
            }
            _ => unreachable!("a block is of one family"),
        }
    }

    #[test]
    fn special_blocks_are_refused_from_end_to_end() {
        let policy = EgressPolicy::default();
        for block in REFUSED {
            let net: IpNet = block.parse().unwrap();
            for ip in [net.network(), middle(net), net.broadcast()] {
                assert!(!policy.permits(ip), "{ip} of {block}");
            }
        }
    }

    #[test]
    fn the_neighbours_of_special_blocks_are_public() {
        let policy = EgressPolicy::default();
        for ip in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.0.3.0",
            "192.31.196.1",
            "192.52.193.1",
            "192.88.98.255",
            "192.88.100.0",
            "192.167.255.255",
            "192.169.0.0",
            "192.175.48.1",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "2000::1",
            "2001:200::",
            "2001:db7:ffff::1",
            "2001:db9::",
            "2001:4860:4860::8888",
            "2003::",
            "2620:4f:8000::1",
            "2a00::1",
            "3ffe:ffff::1",
            "3fff:1000::",
        ] {
            assert!(policy.permits(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn exceptions_reach_as_far_as_they_say() {
        let policy = EgressPolicy::new(vec!["10.1.0.0/16".parse().unwrap(), "::/0".parse().unwrap()]);
        for (ip, permitted) in [
            ("10.1.2.3", true),
            ("10.2.0.1", false),
            ("::ffff:10.1.2.3", true),
            ("::ffff:127.0.0.1", false),
            ("::1", true),
            ("8.8.8.8", true),
        ] {
            assert_eq!(policy.permits(ip.parse().unwrap()), permitted, "{ip}");
        }
        assert!(!policy.is_exception("8.8.8.8".parse().unwrap()));
    }

    #[test]
    fn hostile_urls_are_refused_with_what_to_do() {
        let policy = EgressPolicy::default();
        for (url, wanted) in [
            (
                "http://crm.example.com/",
                "plain http to crm.example.com is not allowed: use https, or start leadlined with --allow-egress CIDR \
                 for its address",
            ),
            (
                "http://93.184.216.34/",
                "plain http to 93.184.216.34 is not allowed: use https, or start leadlined with --allow-egress \
                 93.184.216.34/32",
            ),
            ("ftp://crm.example.com/", "the URL starts with ftp: but must start with https://"),
            ("file:///etc/passwd", "must start with https://"),
            (
                "https://user@crm.example.com/",
                "the URL holds a user name or password: take them out and use a header",
            ),
            ("https://:secret@crm.example.com/", "user name"),
            (
                "https://crm.example.com/#part",
                "the URL has a fragment, which is never sent: take out everything from the # on",
            ),
            (
                "https://localhost/",
                "localhost is this machine itself: use a public name, or start leadlined with --allow-egress \
                 127.0.0.1/32",
            ),
            ("https://LOCALHOST./", "--allow-egress 127.0.0.1/32"),
            ("https://a.b.localhost/", "--allow-egress 127.0.0.1/32"),
            (
                "https://127.0.0.1/",
                "127.0.0.1 is not a public address: use one, or start leadlined with --allow-egress 127.0.0.1/32",
            ),
            ("https://127.1/", "--allow-egress 127.0.0.1/32"),
            ("https://0x7f.1/", "--allow-egress 127.0.0.1/32"),
            ("https://0177.0.0.1/", "--allow-egress 127.0.0.1/32"),
            ("https://2130706433/", "--allow-egress 127.0.0.1/32"),
            ("https://１２７.０.０.１/", "--allow-egress 127.0.0.1/32"),
            ("https://127。0。0。1/", "--allow-egress 127.0.0.1/32"),
            ("https://127.0.0.1./", "--allow-egress 127.0.0.1/32"),
            ("https://%31%32%37.0.0.1/", "--allow-egress 127.0.0.1/32"),
            ("https://0/", "--allow-egress 0.0.0.0/32"),
            ("https://169.254.169.254/latest/meta-data", "--allow-egress 169.254.169.254/32"),
            ("https://[::1]/", "--allow-egress ::1/128"),
            ("https://[::]/", "--allow-egress ::/128"),
            ("https://[::ffff:127.0.0.1]/", "--allow-egress 127.0.0.1/32"),
            ("https://[::127.0.0.1]/", "--allow-egress ::7f00:1/128"),
            ("https://[::ffff:0:127.0.0.1]/", "--allow-egress ::ffff:0:7f00:1/128"),
            ("https://[64:ff9b::127.0.0.1]/", "--allow-egress 64:ff9b::7f00:1/128"),
            ("https://[fd00::1]/", "--allow-egress fd00::1/128"),
            ("https://./", "the URL has no host: write https://HOST/PATH"),
        ] {
            let error = policy.check(&Url::parse(url).unwrap()).unwrap_err().to_string();
            assert!(error.contains(wanted), "{url}: {error}");
            assert!(!error.contains('\n') && !error.contains("secret"), "{url}: {error}");
        }
    }

    #[test]
    fn what_the_policy_allows_passes() {
        let strict = EgressPolicy::default();
        let local = EgressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()]);
        for (policy, url, passes) in [
            (&strict, "https://crm.example.com:8443/a?b=c", true),
            (&strict, "https://93.184.216.34/", true),
            (&strict, "https://localhost.example.com/", true),
            (&local, "http://127.0.0.1:9000/", true),
            (&local, "https://127.0.0.1:9000/", true),
            (&local, "http://localhost:9000/", true),
            (&local, "http://crm.example.com/", true),
            (&local, "http://93.184.216.34/", false),
            (&local, "http://10.0.0.1/", false),
            (&local, "http://[::1]/", false),
        ] {
            assert_eq!(policy.check(&Url::parse(url).unwrap()).is_ok(), passes, "{url}");
        }
    }

    #[test]
    fn a_host_that_nobody_can_look_up_is_refused() {
        let long = "x".repeat(64);
        for (url, told) in [
            (
                "https://${HOST}/x".to_owned(),
                "${host} is no host that can be looked up: its part \"${host}\" may have 1 to 63 letters, digits, - and _",
            ),
            (
                "https://*.example.com/".to_owned(),
                "*.example.com is no host that can be looked up: its part \"*\" may have 1 to 63 letters, digits, - and _",
            ),
            (format!("https://{long}.example.com/"), "its part"),
            (
                "https://example.com:0/".to_owned(),
                "nothing listens on port 0: write another, or leave it out",
            ),
        ] {
            let refused = EgressPolicy::default().check(&Url::parse(&url).unwrap()).unwrap_err().to_string();
            assert!(refused.contains(told), "{url}: {refused}");
        }
        for url in ["https://my_crm.example.com/", "https://bücher.example/", "https://a-b.example.com./"] {
            assert_eq!(EgressPolicy::default().check(&Url::parse(url).unwrap()), Ok(()), "{url}");
        }
    }
}
