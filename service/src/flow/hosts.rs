//! Each origin's share: at most so many requests at once to one scheme, host and port.
//!
//! An entry lives as long as somebody holds or waits for a permit of it, so the table is no larger than the tasks taken.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

/// Origins whose keys a thread remembers; then it begins anew.
const REMEMBERED_MAX: usize = 1024;
/// Longer ones are not worth it.
const REMEMBERED_BYTES_MAX: usize = 128;

thread_local! {
    /// The keys of origins, by what stands before a URL's path.
    static REMEMBERED: RefCell<HashMap<Box<str>, HostKey>> = RefCell::default();
}

/// Scheme, host and port of a request. Clones share the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostKey(Arc<str>);

impl HostKey {
    /// The key of `url`; ports are compared as numbers, so `http://a` and `http://a:80` are one host.
    pub fn of(url: &Url) -> HostKey {
        let host = url.host_str().unwrap_or_default().trim_end_matches('.');
        HostKey(format!("{}://{host}:{}", url.scheme(), url.port_or_known_default().unwrap_or_default()).into())
    }

    /// The key of the URL that `text` is; none: it is no URL. Of many URLs of one origin the first alone is parsed.
    pub fn in_text(text: &str) -> Option<HostKey> {
        let parsed = || Url::parse(text).ok().as_ref().map(HostKey::of);
        let Some(origin) = plain_origin(text) else { return parsed() };
        REMEMBERED.with_borrow_mut(|remembered| {
            if let Some(known) = remembered.get(origin) {
                return Some(known.clone());
            }
            let key = parsed()?;
            if remembered.len() >= REMEMBERED_MAX {
                remembered.clear();
            }
            remembered.insert(origin.into(), key.clone());
            Some(key)
        })
    }
}

/// What of a URL's text decides about its origin, where nothing behind it can change that: no characters that a parser leaves
/// out or cuts off, and two slashes before the host.
fn plain_origin(text: &str) -> Option<&str> {
    let after = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"))?;
    let length = after.find(['/', '\\', '?', '#']).unwrap_or(after.len());
    let origin = text.get(..text.len() - after.len() + length)?;
    let is_plain =
        length > 0 && origin.len() <= REMEMBERED_BYTES_MAX && origin.bytes().all(|byte| byte.is_ascii_graphic());
    is_plain.then_some(origin)
}

/// The shares of all origins.
#[derive(Clone, Debug)]
pub struct Hosts {
    share: usize,
    open: Arc<Mutex<HashMap<HostKey, Weak<Semaphore>>>>,
}

/// One request's place at its origin; dropping it lets the next one in.
#[derive(Debug)]
pub struct HostPermit {
    permit: Option<OwnedSemaphorePermit>,
    key: HostKey,
    hosts: Hosts,
}

impl Hosts {
    /// `share` concurrent requests for each origin.
    pub fn new(share: usize) -> Hosts {
        Hosts { share, open: Arc::default() }
    }

    /// Waits for a place at the origin of `url`. First come, first served.
    ///
    /// # Cancel safety
    /// Safe: no place is taken until it returns; the place in the queue is lost.
    pub async fn enter(&self, url: &Url) -> HostPermit {
        let key = HostKey::of(url);
        let permit = match self.semaphore(&key).acquire_owned().await {
            Ok(permit) => permit,
            Err(_closed) => std::future::pending().await,
        };
        HostPermit { permit: Some(permit), key, hosts: self.clone() }
    }

    /// Origins that somebody uses or waits for now.
    pub fn len(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether no origin is in use.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn semaphore(&self, key: &HostKey) -> Arc<Semaphore> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = open.get(key).and_then(Weak::upgrade) {
            return known;
        }
        let fresh = Arc::new(Semaphore::new(self.share));
        open.insert(key.clone(), Arc::downgrade(&fresh));
        fresh
    }
}

impl Drop for HostPermit {
    fn drop(&mut self) {
        drop(self.permit.take());
        let mut open = self.hosts.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.get(&self.key).is_some_and(|entry| entry.strong_count() == 0) {
            open.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn what_is_remembered_is_what_parsing_says(
            scheme in "https?://|HTTP://|http:/|ftp://|http:",
            origin in r"[a-cA-C.@:8 \t\\/%\[\]é]{0,6}",
            rests in prop::collection::vec(r"[ab/?#@:\\ \n.]{0,6}", 1..4),
        ) {
            for rest in rests {
                let text = format!("{scheme}{origin}{rest}");
                let parsed = Url::parse(&text).ok().as_ref().map(HostKey::of);
                prop_assert_eq!(HostKey::in_text(&text), parsed, "{:?}", text);
            }
        }
    }

    fn url(text: &str) -> Url {
        text.parse().expect("a URL")
    }

    #[tokio::test]
    async fn a_host_over_its_share_waits_and_others_do_not() {
        let hosts = Hosts::new(1);
        let first = hosts.enter(&url("http://a/1")).await;
        assert!(hosts.enter(&url("http://A.:80/2")).now_or_never().is_none(), "the same origin, spelt differently");
        let other = hosts.enter(&url("https://a/")).now_or_never().expect("another scheme is another origin");
        drop(first);
        let second = hosts.enter(&url("http://a/2")).now_or_never().expect("the place is free");
        drop((second, other));
        assert!(hosts.is_empty(), "nobody uses an origin, so none is remembered");
    }
}
