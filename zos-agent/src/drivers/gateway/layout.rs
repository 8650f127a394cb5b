// SPDX-License-Identifier: Apache-2.0
//! Which backend of the proxy each site has. Pure.
//!
//! The proxy can't make backends while it runs. So there are pools of empty ones, by their network and protocol, and a
//! site takes one of its pool. Only a pool that is new, full or of no use any more takes a reload.

use crate::drivers::{GatewaySpec, NetworkId, WorkloadId};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, mem,
    time::{Duration, Instant},
};
use tfgrid_client::deployment::BackendProtocol;

/// Backends of a new pool on the host, and in a private network.
const FIRST_SIZE: [usize; 2] = [16, 4];
/// How long no other site gets a place that one has left: requests that wait for its servers, or are tried again, would
/// reach those of somebody else. None of them waits longer.
const REST: Duration = Duration::from_secs(10);

/// How the proxy talks to the servers of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// HTTP/2 without TLS.
    H2c,
    /// Whatever the client sends.
    Tcp,
    /// The same, after a header of the PROXY protocol.
    Proxy,
}

impl Protocol {
    pub fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::H2c)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::H2c => "h2c",
            Self::Tcp => "tcp",
            Self::Proxy => "proxy",
        })
    }
}

/// Backends of one kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pool {
    /// The private network of its servers, `None` for public addresses.
    pub network: Option<NetworkId>,
    /// How the proxy talks to them.
    pub protocol: Protocol,
}

impl Pool {
    pub fn of(spec: &GatewaySpec) -> Self {
        let protocol = match spec.site.backends.first().map(|backend| backend.protocol) {
            Some(BackendProtocol::H2c) => Protocol::H2c,
            Some(BackendProtocol::Tcp) if spec.site.proxy_protocol => Protocol::Proxy,
            Some(BackendProtocol::Tcp) => Protocol::Tcp,
            Some(BackendProtocol::Http) | None => Protocol::Http,
        };
        Self { network: spec.network(), protocol }
    }

    /// Name of one of its backends.
    pub fn backend(&self, index: usize) -> String {
        match &self.network {
            None => format!("{}.{index}", self.protocol),
            Some(NetworkId { twin, name }) => format!("{}.{twin}.{name}.{index}", self.protocol),
        }
    }

    fn first_size(&self) -> usize {
        FIRST_SIZE[usize::from(self.network.is_some())]
    }
}

/// Pools with their sizes, and the place of each site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    pub sizes: BTreeMap<Pool, usize>,
    pub places: BTreeMap<WorkloadId, (Pool, usize)>,
    /// Places that sites have left, and when.
    pub left: BTreeMap<(Pool, usize), (WorkloadId, Instant)>,
}

impl Layout {
    /// Gives each of these sites a place. A site keeps its place while its pool is the same.
    pub fn arrange<'a>(&mut self, sites: impl Iterator<Item = &'a GatewaySpec>, now: Instant) {
        let sites: BTreeMap<&WorkloadId, Pool> = sites.map(|spec| (&spec.id, Pool::of(spec))).collect();
        let (stay, leave): (BTreeMap<_, _>, BTreeMap<_, _>) =
            mem::take(&mut self.places).into_iter().partition(|(id, (pool, _))| sites.get(id) == Some(pool));
        self.places = stay;
        self.left.retain(|_, (_, since)| now.saturating_duration_since(*since) < REST);
        self.left.extend(leave.into_iter().map(|(id, place)| (place, (id, now))));
        for (id, pool) in &sites {
            if !self.places.contains_key(*id) {
                let index = self.free(id, pool);
                let size = self.sizes.entry(pool.clone()).or_insert_with(|| pool.first_size());
                if index >= *size {
                    *size *= 2;
                }
                self.places.insert((*id).clone(), (pool.clone(), index));
            }
        }
        // A network that is to go must not be in use.
        let used: BTreeSet<&Pool> = sites.values().collect();
        self.sizes.retain(|pool, _| pool.network.is_none() || used.contains(pool));
    }

    /// A place for this site. All sites of a private network are of one twin: theirs needn't rest.
    fn free(&self, id: &WorkloadId, pool: &Pool) -> usize {
        let rests = |last: &WorkloadId| pool.network.is_none() && last != id;
        let left = self.left.iter().filter(|(_, (last, _))| rests(last)).map(|(place, _)| place);
        let taken = self.places.values().chain(left);
        let taken: BTreeSet<usize> =
            taken.filter(|(other, _)| other == pool).map(|(_, index)| *index).collect();
        (0..).find(|index| !taken.contains(index)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::gateway::tests::site;

    impl Layout {
        fn backend(&self, id: &WorkloadId) -> Option<String> {
            self.places.get(id).map(|(pool, index)| pool.backend(*index))
        }
    }

    #[test]
    fn a_site_keeps_its_place_while_others_come_and_go() {
        let (mut layout, now) = (Layout::default(), Instant::now());
        let (shop, blog) = (site(1, "shop"), site(2, "blog"));
        layout.arrange([&shop, &blog].into_iter(), now);
        assert_eq!(layout.backend(&blog.id).as_deref(), Some("http.1"));
        let sizes = layout.sizes.clone();
        layout.arrange([&blog].into_iter(), now);
        assert_eq!(layout.backend(&blog.id).as_deref(), Some("http.1"));
        assert_eq!(layout.backend(&shop.id), None);
        layout.arrange([&shop, &blog].into_iter(), now);
        assert_eq!(layout.backend(&shop.id).as_deref(), Some("http.0"));
        assert_eq!(layout.sizes, sizes, "names come and go without a reload");
    }

    #[test]
    fn a_full_pool_doubles_and_stays_so() {
        let (mut layout, now) = (Layout::default(), Instant::now());
        let sites: Vec<_> = (0..17).map(|number| site(number, "shop")).collect();
        layout.arrange(sites.iter(), now);
        assert_eq!(layout.sizes.values().copied().collect::<Vec<_>>(), [32]);
        layout.arrange(sites.iter().take(1), now);
        assert_eq!(layout.sizes.values().copied().collect::<Vec<_>>(), [32]);
    }

    #[test]
    fn a_place_that_a_site_has_left_is_no_others_at_once() {
        let (mut layout, now) = (Layout::default(), Instant::now());
        let (shop, blog, wiki) = (site(1, "shop"), site(2, "blog"), site(3, "wiki"));
        layout.arrange([&shop].into_iter(), now);
        layout.arrange([&blog].into_iter(), now);
        assert_eq!(layout.backend(&blog.id).as_deref(), Some("http.1"));
        layout.arrange([&blog, &wiki].into_iter(), now + REST / 2);
        assert_eq!(layout.backend(&wiki.id).as_deref(), Some("http.2"));
        layout.arrange([&blog, &shop].into_iter(), now + REST / 2);
        assert_eq!(layout.backend(&shop.id).as_deref(), Some("http.0"), "it was its own");
        layout.arrange([&blog].into_iter(), now + REST);
        layout.arrange([&blog, &wiki].into_iter(), now + REST * 2);
        assert_eq!(layout.backend(&wiki.id).as_deref(), Some("http.0"));
    }

    #[test]
    fn a_network_has_a_pool_as_long_as_a_site_is_in_it() {
        let (mut layout, now) = (Layout::default(), Instant::now());
        let mut shop = site(1, "shop");
        shop.site.network = Some("backend".into());
        layout.arrange([&shop].into_iter(), now);
        assert_eq!(layout.backend(&shop.id).as_deref(), Some("http.5.backend.0"));
        layout.arrange(std::iter::empty(), now);
        assert!(layout.sizes.is_empty() && layout.places.is_empty());
    }
}
