//! s3s-fs, an S3 server over a folder, in this process: real signatures, and it can be taken down and brought back.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, anyhow};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::bucket::BucketPlace;

const BUCKET: &str = "images";
const REGION: &str = "us-east-1";
const ACCESS: &str = "e2e";
const SECRET: &str = "a-secret-of-the-test";

/// The server; it ends when dropped, its folder stays.
pub struct Store {
    folder: PathBuf,
    address: SocketAddr,
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
        let store = Store { folder: folder.to_owned(), address, serving: Mutex::new(None) };
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
        let former = self.serving().replace(tokio::spawn(serve(listener, builder.build())));
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

async fn serve(listener: TcpListener, service: S3Service) {
    // Dropped with this task, and with it every connection.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                connections.spawn(answer(stream, service.clone()));
            }
            Some(_ended) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn answer(stream: TcpStream, service: S3Service) {
    let _ = stream.set_nodelay(true);
    // A client that goes away is its own affair.
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}
