//! What the demo works on: each committed picture, or what the user named.

use std::collections::BTreeMap;

use anyhow::Context as _;

use super::args::Args;
use crate::embedded::{Child, Stack};
use crate::fixtures;
use crate::ledger::Expected;

/// Tasks taken at once in `--crash`: few, so that the bound on reruns is mostly the finished and uncommitted.
const CRASH_PARALLEL_OPERATIONS: usize = 16;
/// The pictures of strangers may take this long, retries included.
const STRANGERS_TASK_TIMEOUT: &str = "90s";
const STRANGERS_FETCH_TIMEOUT: &str = "20s";

/// One picture.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// The task's id.
    pub(super) id: u64,
    /// What is fetched.
    pub(super) url: String,
    /// What the report calls it.
    pub(super) name: String,
    /// What the picture is about, where that is known.
    pub(super) note: String,
    /// What should become of it.
    pub(super) expected: Expected,
}

/// All of them.
pub(super) struct Work {
    pub(super) items: Vec<Item>,
    pub(super) parallel_operations: usize,
    strangers: bool,
    crash: bool,
}

impl Work {
    /// Lists the work.
    ///
    /// # Errors
    /// The fixtures are missing.
    pub(super) fn plan(args: &Args, stack: &Stack) -> anyhow::Result<Work> {
        let mut items = Vec::new();
        let mut add = |url: String, name: String, note: &str, expected| {
            items.push(Item { id: items.len() as u64 + 1, url, name, note: note.to_owned(), expected });
        };
        if args.urls.is_empty() {
            let images = fixtures::images()?;
            for copy in 1..=args.copies {
                for image in &images {
                    let bytes =
                        fixtures::image_bytes(&image.file).with_context(|| format!("read fixture {}", image.file))?;
                    let (path, name) = match args.copies {
                        1 => (format!("/{}", image.file), image.file.clone()),
                        _ => (format!("/n/{copy}/{}", image.file), format!("{} #{copy}", image.file)),
                    };
                    add(stack.origin.url(&path).into(), name, &image.note, Expected::of_image(image, &bytes));
                }
            }
        }
        for url in &args.urls {
            let mut shown = url.clone();
            shown.set_query(None);
            // Refused only where there is no host, and here is one.
            let _ = shown.set_username("").and_then(|()| shown.set_password(None));
            add(url.to_string(), shown.into(), "", Expected::Any);
        }
        let parallel_operations = if args.crash { CRASH_PARALLEL_OPERATIONS } else { 256 };
        Ok(Work { items, parallel_operations, strangers: !args.urls.is_empty(), crash: args.crash })
    }

    /// What is about to happen.
    pub(super) fn describe(&self, stack: &Stack) -> String {
        let origin = match self.strangers {
            true => "the addresses named; public ones only".to_owned(),
            false => format!("the fixtures, served at {}", stack.origin.address()),
        };
        format!(
            "{} pictures from {origin}\nbroker {} and store {} in this process; the downloader in one of its own\n",
            self.items.len(),
            stack.kafka.brokers(),
            stack.store.place().endpoint,
        )
    }

    /// Settings of the downloader beside the stack's own.
    fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings: Vec<(&str, String)> = Vec::new();
        if self.strangers {
            // No exception from the address rules: the embedded origin is not needed.
            settings.extend([("FETCH_ALLOW_CIDRS", String::new()), ("FETCH_ALLOW_PORTS", String::new())]);
            settings.extend([
                ("TASK_TIMEOUT", STRANGERS_TASK_TIMEOUT.into()),
                ("FETCH_TIMEOUT", STRANGERS_FETCH_TIMEOUT.into()),
            ]);
        }
        if self.crash {
            settings.push(("PARALLEL_OPERATIONS", self.parallel_operations.to_string()));
            // One host serves everything: what is held must not use up its share.
            settings.push(("FETCH_PER_HOST_MAX", self.parallel_operations.to_string()));
        }
        settings
    }

    /// Starts a downloader for this work: this executable under another name.
    ///
    /// # Errors
    /// The process cannot be started.
    pub(super) fn start_downloader(&self, stack: &Stack) -> anyhow::Result<Child> {
        let program = std::env::current_exe().context("find this executable")?;
        let settings = self.settings();
        let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Child::start(&program, stack, &settings)
    }

    /// Writes every task.
    ///
    /// # Errors
    /// The broker did not acknowledge one.
    pub(super) async fn produce(&self, stack: &Stack) -> anyhow::Result<()> {
        let all = self.items.iter().map(|item| stack.produce(item.id, item.url.clone(), item.expected.clone()));
        futures_util::future::try_join_all(all).await.map(drop)
    }

    /// The items by id.
    pub(super) fn by_id(&self) -> BTreeMap<u64, &Item> {
        self.items.iter().map(|item| (item.id, item)).collect()
    }
}
