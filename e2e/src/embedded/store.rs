//! s3s-fs, an S3 server over a folder, in this process: real signatures, and it can be taken down and brought back.

mod front;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, anyhow};
use axum::Router;
use axum::extract::Request;
use front::Front;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::bucket::BucketPlace;
use crate::origin::Gate;

const BUCKET: &str = "images";
const REGION: &str = "us-east-1";
const ACCESS: &str = "e2e";
const SECRET: &str = "a-secret-of-the-test";

/// The server; it ends when dropped, its folder stays.
pub struct Store {
    folder: PathBuf,
    address: SocketAddr,
    front: Front,
    serving: Mutex<Option<JoinHandle<()>>>,
}

impl Store {
    /// Serves `folder`, which is made if it is missing.
    ///
    /// # Errors
    /// The folder cannot be made, or no port is free.
    pub async fn start(folder: &Path) -> anyhow::Result<Store> {
        std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        // Outside the range of outgoing connections, so that it is still free when the store comes back.
        let address = SocketAddr::from(([127, 0, 0, 1], super::free_port()));
        let store = Store { folder: folder.to_owned(), address, front: Front::default(), serving: Mutex::new(None) };
        store.up().await?;
        Ok(store)
    }

    /// Where the bucket is, and how to get in.
    pub fn place(&self) -> BucketPlace {
        BucketPlace {
            endpoint: format!("http://{}", self.address),
            region: REGION.into(),
            name: BUCKET.into(),
            access: ACCESS.into(),
            secret: SECRET.into(),
        }
    }

    /// Holds every request with this method for the object under `key`, before it is worked on.
    pub fn hold(&self, method: &str, key: &str) -> Gate {
        self.front.hold(method, &object_path(key))
    }

    /// From now on conditional puts are answered as by a store that does not know them: 501.
    pub fn refuse_conditions(&self) {
        self.front.refuse_conditions();
    }

    /// The methods of the requests for the object under `key`, oldest first.
    pub fn requests(&self, key: &str) -> Vec<String> {
        self.front.requests(&object_path(key))
    }

    /// Takes it down: connections break, and new ones are refused.
    pub fn down(&self) {
        if let Some(serving) = self.serving().take() {
            serving.abort();
        }
    }

    /// Brings it back under the same address, with the same objects.
    ///
    /// # Errors
    /// The port was taken meanwhile.
    pub async fn up(&self) -> anyhow::Result<()> {
        let files = s3s_fs::FileSystem::new(&self.folder).map_err(|error| anyhow!("{error:?}"));
        let mut builder = S3ServiceBuilder::new(files.with_context(|| format!("serve {}", self.folder.display()))?);
        builder.set_auth(SimpleAuth::from_single(ACCESS, SECRET));
        let socket = tokio::net::TcpSocket::new_v4().context("make a socket")?;
        // Connections of the store's former life may linger.
        socket.set_reuseaddr(true).context("reuse the store's address")?;
        socket.bind(self.address).with_context(|| format!("listen on {} for the store", self.address))?;
        let listener = socket.listen(1024).context("listen for the store")?;
        let (front, service) = (self.front.clone(), builder.build());
        let router = Router::new().fallback(move |request: Request| front.clone().answer(service.clone(), request));
        let former = self.serving().replace(tokio::spawn(serve(listener, router)));
        if let Some(former) = former {
            former.abort();
        }
        Ok(())
    }

    fn serving(&self) -> std::sync::MutexGuard<'_, Option<JoinHandle<()>>> {
        self.serving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.down();
    }
}

async fn serve(listener: TcpListener, router: Router) {
    // Dropped with this task, and with it every connection.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                connections.spawn(answer(stream, router.clone()));
            }
            Some(_ended) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn answer(stream: TcpStream, router: Router) {
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(router);
    // A client that goes away is its own affair.
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

fn object_path(key: &str) -> String {
    format!("/{BUCKET}/{key}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket::Bucket;

    /// What the downloader relies on, and what the real stores do: of racing conditional puts exactly one wins, and
    /// bytes and metadata are those of one put.
    #[tokio::test(flavor = "multi_thread")]
    async fn of_racing_conditional_puts_one_wins_and_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::start(folder.path()).await.unwrap();
        let bucket = Bucket::open(&store.place()).unwrap();
        bucket.create().await.unwrap();
        for round in 0..5 {
            let key = format!("raced/{round}");
            let mut racing = JoinSet::new();
            for racer in 0..24 {
                let (bucket, key, name) = (bucket.clone(), key.clone(), format!("racer {racer}"));
                racing.spawn(async move {
                    let headers = [("if-none-match", "*"), ("x-amz-meta-racer", &name)];
                    bucket.put_with(&key, name.as_bytes(), "text/plain", &headers).await.map(|()| name.clone())
                });
            }
            let ended = racing.join_all().await;
            let won: Vec<_> = ended.iter().filter_map(|ended| ended.as_ref().ok()).collect();
            let [winner] = won.as_slice() else { panic!("{won:?} won") };
            for lost in ended.iter().filter_map(|ended| ended.as_ref().err()) {
                let text = format!("{lost:#}");
                assert!(text.contains("412") && text.contains("PreconditionFailed"), "{text}");
            }
            let object = bucket.get(&key).await.unwrap().unwrap();
            assert_eq!(object.bytes, winner.as_bytes());
            assert_eq!(object.metadata.get("racer"), Some(*winner));
        }
        assert_eq!(store.requests("raced/0").len(), 25);
    }
}
