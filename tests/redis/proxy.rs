//! What is between the store and a server: a name that leads elsewhere, a slow network, a connection that breaks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};

#[derive(Default)]
pub(crate) struct Network {
    /// Where new connections lead.
    target: AtomicU16,
    /// What is sent arrives so many milliseconds later.
    delay: AtomicU64,
    /// The next response breaks its connection instead of arriving.
    breaks: AtomicBool,
}

pub(crate) struct Proxy {
    pub(crate) port: u16,
    network: Arc<Network>,
    _connections: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let network = Arc::new(Network { target: target.into(), ..Network::default() });
        let mut connections = JoinSet::new();
        connections.spawn(accept(listener, Arc::clone(&network)));
        Self { port, network, _connections: connections }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// New connections lead there.
    pub(crate) fn lead_to(&self, target: u16) {
        self.network.target.store(target, Ordering::Relaxed);
    }

    pub(crate) fn delay(&self, delay: Duration) {
        self.network.delay.store(delay.as_millis().try_into().expect("short"), Ordering::Relaxed);
    }

    pub(crate) fn break_at_next_response(&self) {
        self.network.breaks.store(true, Ordering::Relaxed);
    }
}

async fn accept(listener: TcpListener, network: Arc<Network>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let network = Arc::clone(&network);
        connections.spawn(async move {
            let target = ("127.0.0.1", network.target.load(Ordering::Relaxed));
            let Ok(server) = TcpStream::connect(target).await else { return };
            let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                (client.into_split(), server.into_split());
            let requests = async {
                let mut buffer = vec![0; 64 * 1024];
                while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
                    sleep(Duration::from_millis(network.delay.load(Ordering::Relaxed))).await;
                    if to_server.write_all(&buffer[..read]).await.is_err() {
                        break;
                    }
                }
                // What is under way arrives, even if the client has gone away.
                sleep(Duration::from_millis(100)).await;
            };
            let responses = async {
                let mut buffer = vec![0; 64 * 1024];
                while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
                    if network.breaks.swap(false, Ordering::Relaxed)
                        || to_client.write_all(&buffer[..read]).await.is_err()
                    {
                        break;
                    }
                }
            };
            tokio::select! { () = requests => {} () = responses => {} }
        });
    }
}
