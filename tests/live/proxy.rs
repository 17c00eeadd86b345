//! A proxy on a TCP port before an engine's Unix socket, whose connections can be cut: how an engine dies, or is far away.

use std::sync::Arc;

use tokio::net::{TcpListener, UnixStream};
use tokio::sync::watch;

/// Forwards connections until it is dropped.
pub(crate) struct Proxy {
    /// Where it listens, as in `DOCKER_HOST`.
    pub(crate) address: String,
    alive: Arc<watch::Sender<bool>>,
}

impl Proxy {
    /// Starts a proxy before the engine at `unix://…`.
    pub(crate) async fn before(engine: &str) -> Self {
        let socket = engine.strip_prefix("unix://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap());
        let (alive, mut ended) = watch::channel(true);
        tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                tokio::select! {
                    _ = ended.changed() => return,
                    accepted = listener.accept() => {
                        let (mut near, _) = accepted.unwrap();
                        let socket = socket.clone();
                        connections.spawn(async move {
                            let mut far = UnixStream::connect(&socket).await.unwrap();
                            let _broken = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                        });
                    }
                }
            }
        });
        Self { address, alive: Arc::new(alive) }
    }

    /// Cuts all connections and takes no new ones.
    pub(crate) fn cut(&self) {
        self.alive.send_replace(false);
    }
}
