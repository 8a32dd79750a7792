//! A line to a server that can vanish as a machine does without power: what is open says nothing any more, not even that
//! it has ended, and neither does what is opened.

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

pub(super) struct Line {
    port: u16,
    is_gone: watch::Sender<bool>,
    _carrying: JoinSet<()>,
}

impl Line {
    pub(super) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (is_gone, gone) = watch::channel(false);
        let near_port = listener.local_addr().unwrap().port();
        let mut carrying = JoinSet::new();
        carrying.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                connections.spawn(carry(near, port, gone.clone()));
            }
        });
        Self { port: near_port, is_gone, _carrying: carrying }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn vanish(&self) {
        self.is_gone.send_replace(true);
    }
}

async fn carry(mut near: TcpStream, port: u16, mut gone: watch::Receiver<bool>) {
    let is_gone = *gone.borrow();
    if !is_gone {
        let mut far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        tokio::select! {
            // However it ends: what was to be said is said to those at the ends.
            _ = copy_bidirectional(&mut near, &mut far) => return,
            _ = gone.changed() => {}
        }
    }
    // Both ends stay open until the test is over.
    std::future::pending::<()>().await;
}
