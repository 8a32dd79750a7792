//! Who is at the other end: the peer of the connection, or the client that a trusted proxy names.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use http::{Extensions, HeaderMap};
use ipnet::IpNet;

use super::connections::UnderWay;
use crate::doors::client_of;

/// Where a proxy writes whom it asks for: every proxy adds the peer it saw at the end.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The peer of a connection, as the server hands it to its requests; the connection is busy as long as it is kept.
#[derive(Clone, Debug)]
pub(super) struct HttpPeer {
    address: IpAddr,
    _under_way: Option<Arc<UnderWay>>,
}

impl HttpPeer {
    pub(super) fn new(address: IpAddr, under_way: UnderWay) -> Self {
        Self { address, _under_way: Some(Arc::new(under_way)) }
    }
}

/// The proxies whose word is taken.
#[derive(Clone, Debug, Default)]
pub(super) struct TrustedProxies(pub(super) Vec<IpNet>);

impl TrustedProxies {
    /// Whether a peer is one of them.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|net| net.contains(&address))
    }

    /// The client of a request: read from the end of what the proxies wrote, up to the first that is none of them.
    pub(super) fn client(&self, extensions: &Extensions, headers: &HeaderMap) -> IpAddr {
        let peer =
            extensions.get::<HttpPeer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.address);
        let mut client = peer;
        if self.has(peer) {
            let values = headers.get_all(FORWARDED_FOR).iter().rev();
            let hops = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.rsplit(','));
            for hop in hops {
                let Some(address) = address(hop.trim()) else { break };
                client = address;
                if !self.has(address) {
                    break;
                }
            }
        }
        client_of(client)
    }
}

/// An address as proxies write it: some add the port, some put brackets around IPv6.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or(text, |(inner, _)| inner);
    bare.parse().ok().or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_who_the_trusted_proxies_say_and_nobody_else() {
        let trusted = TrustedProxies(vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
        for (peer, forwarded, client) in [
            ("203.0.113.9", &["198.51.100.1"][..], "203.0.113.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("::1", &["6.6.6.6, 198.51.100.1, 10.9.9.9"], "198.51.100.1"),
            ("::1", &["6.6.6.6", "198.51.100.1,10.9.9.9"], "198.51.100.1"),
            ("10.0.0.1", &["6.6.6.6, nonsense"], "10.0.0.1"),
            ("10.0.0.1", &["[2001:db8:1:2:3::4]:80"], "2001:db8:1:2::"),
            ("2001:db8::5", &["198.51.100.1"], "2001:db8::"),
        ] {
            let mut extensions = Extensions::new();
            extensions.insert(HttpPeer { address: peer.parse().unwrap(), _under_way: None });
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append(FORWARDED_FOR, value.parse().unwrap());
            }
            assert_eq!(trusted.client(&extensions, &headers).to_string(), client, "{peer} {forwarded:?}");
        }
    }
}
